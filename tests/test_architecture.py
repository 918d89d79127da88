"""The house as drawn: imports run downwards only, heavy libraries stay in their wing.

The rooms stand in storeys; a module may import from its own room and from storeys below. Imports
inside functions count too: they are about speed, not about who may know whom.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import buildext

PACKAGE = Path(buildext.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
GROUND = {"errors", "progress", "atomic"}
BASEMENT = {"grid", "models"}
MIDDLE = {"scene", "engines", "footprints"}
MAY_IMPORT = {
    "errors": set(),
    "progress": set(),
    "atomic": {"errors"},
    "page": set(),
    "grid": {"errors"},
    "models": GROUND,
    "scene": GROUND | BASEMENT,
    "engines": GROUND | BASEMENT,
    "footprints": GROUND | BASEMENT,
    "evaluate": GROUND | BASEMENT | {"scene", "footprints", "page"},
    "align": GROUND | BASEMENT | {"footprints"},
    "simulate": GROUND | BASEMENT | {"scene", "footprints"},
    "extract": GROUND | BASEMENT | MIDDLE,
    "mosaic": GROUND | BASEMENT | MIDDLE | {"extract", "page"},
    "benchmark": GROUND | BASEMENT | MIDDLE | {"extract", "evaluate", "page", "diagnosis"},
    "learn": GROUND | BASEMENT | MIDDLE | {"align", "page"},
    "diagnosis": GROUND | BASEMENT | {"engines"},
}
EXCEPTIONS = {
    # The torch engine builds the network that the trainer built.
    ("engines/torch.py", "learn"),
}
HEAVY = {"torch", "torchvision", "timm", "segmentation_models_pytorch", "albumentations", "cv2"}
LONGEST = 450


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            assert node.module is not None
            if node.module == "buildext":
                yield from (f"buildext.{alias.name}" for alias in node.names)
            else:
                yield node.module


def is_room(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def test_every_room_has_its_storey() -> None:
    rooms = {room_of(path) for path in MODULES} - {"cli", "__init__", "__main__"}
    assert rooms == set(MAY_IMPORT)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_downwards(path: Path) -> None:
    room = room_of(path)
    if room in ("cli", "__init__", "__main__"):
        return
    for name in imports(path):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if top != "buildext" or not is_room(other) or other == room:
            continue
        if (name_of(path), other) in EXCEPTIONS:
            continue
        assert other in MAY_IMPORT[room], f"{name_of(path)} imports {name}"


def test_nothing_below_knows_the_command_line() -> None:
    for path in MODULES:
        if room_of(path) in ("cli", "__main__"):
            continue
        for name in imports(path):
            assert not name.startswith("buildext.cli"), name_of(path)
            assert name not in ("click", "rich.prompt"), name_of(path)


def test_heavy_libraries_stay_in_their_wing() -> None:
    for path in MODULES:
        if room_of(path) == "learn" or name_of(path) == "engines/torch.py":
            continue
        found = {name.partition(".")[0] for name in imports(path)} & HEAVY
        assert not found, f"{name_of(path)} imports {found}"


def test_no_module_is_longer_than_a_few_screens() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_the_library_neither_prints_nor_exits() -> None:
    for path in MODULES:
        if room_of(path) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                assert call not in ("print", "exit", "quit", "sys.exit"), (name_of(path), call)


def test_each_module_opens_with_its_concept() -> None:
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), name_of(path)
