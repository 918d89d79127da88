"""The plugin's zip: what belongs into it is in it, and what is wrong is found."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

import buildext
from buildext.footprints.style import confidence_qml
from qgis_plugin import build, strings, validate
from qgis_plugin.buildext_qgis.environment import MARK
from tests.real import ROOT

PLUGIN = ROOT / "qgis_plugin" / "buildext_qgis"


def wheel(folder: Path, *, version: str = buildext.__version__, extra: str = "") -> Path:
    """The package's Python files in the form of a wheel, without its models."""
    path = folder / f"buildext-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (ROOT / "buildext" / "cli").glob("*.py"):
            archive.write(file, file.relative_to(ROOT))
        if extra:
            archive.writestr(extra, b"\x7fELF")
    return path


@pytest.fixture
def right(tmp_path: Path) -> Path:
    return build.build(wheel(tmp_path), tmp_path / "out")


def changed(path: Path, add: dict[str, bytes], drop: str = "") -> Path:
    """A copy with files added, replaced or dropped."""
    copy = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            if name != drop and name not in add:
                new.writestr(old.getinfo(name), old.read(name))
        for name, content in add.items():
            new.writestr(name, content)
    return copy


def test_the_zip_is_right(right: Path) -> None:
    assert validate.problems(right) == []
    with zipfile.ZipFile(right) as archive:
        names = archive.namelist()
        assert archive.read("buildext_qgis/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert {"buildext_qgis/metadata.txt", "buildext_qgis/icon.svg"} <= set(names)
    assert not [name for name in names if MARK in name or "test" in name]


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path, right: Path) -> None:
    again = build.build(wheel(tmp_path), tmp_path / "again")
    with zipfile.ZipFile(right) as one, zipfile.ZipFile(again) as other:
        kept = [name for name in one.namelist() if not name.endswith(".whl")]
        assert one.namelist() == other.namelist()
        assert [one.read(name) for name in kept] == [other.read(name) for name in kept]


def test_a_release_gets_its_address(tmp_path: Path) -> None:
    path = build.build(wheel(tmp_path), tmp_path, "https://somewhere.example/buildext")
    text = zipfile.ZipFile(path).read("buildext_qgis/metadata.txt").decode("utf-8")
    assert "tracker=https://somewhere.example/buildext/issues" in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("buildext_qgis/a.pyc", b"x", "does not belong"),
        ("buildext_qgis/.hidden.txt", b"x", "does not belong"),
        ("buildext_qgis/tests/test_a.py", b"x = 1", "does not belong"),
        ("buildext_qgis/lib.so", b"x", "kind that is not expected"),
        ("buildext_qgis/a.py", b"match x:\n    case 1: pass", "a.py"),
        ("buildext_qgis/a.txt", b"\xff\xfe\x00", "a.txt"),
        ("buildext_qgis/wheels/other-1-py3-none-any.whl", b"", "only wheel"),
        ("elsewhere/a.txt", b"x", "one folder"),
        ("buildext_qgis/metadata.txt", b"[general]\nname=x\nauthor=a/b\n", "author contains"),
    ],
)
def test_what_is_wrong_is_found(right: Path, name: str, content: bytes, said: str) -> None:
    found = validate.problems(changed(right, {name: content}))
    assert any(said in line for line in found), found


@pytest.mark.parametrize("name", ["__init__.py", "LICENSE", "metadata.txt", "icon.svg"])
def test_what_is_missing_is_found(right: Path, name: str) -> None:
    found = validate.problems(changed(right, {}, drop=f"buildext_qgis/{name}"))
    assert any(name.split(".")[0].strip("_") in line for line in found), found


def test_compiled_code_in_the_wheel_is_found(tmp_path: Path) -> None:
    path = build.build(wheel(tmp_path, extra="buildext/fast.so"), tmp_path / "out")
    assert any("compiled" in line for line in validate.problems(path))


def test_plugin_and_package_have_one_version() -> None:
    assert build.plugin_version() == buildext.__version__


def test_the_style_is_the_packages_own() -> None:
    assert (PLUGIN / "styles" / "footprints.qml").read_text("utf-8") == confidence_qml()


def test_the_validator_runs_as_a_program(
    right: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import runpy

    monkeypatch.setattr(sys, "argv", ["validate.py", str(right)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "qgis_plugin" / "validate.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "is right" in capsys.readouterr().out


def test_no_import_of_qgis_where_none_is_wanted() -> None:
    for name in ("runner", "environment", "installation", "__init__"):
        text = (PLUGIN / f"{name}.py").read_text("utf-8")
        assert "from qgis" not in text and "import qgis" not in text, name


def test_words_for_the_user_can_be_translated() -> None:
    """Texts reach QGIS through `tr`: what is set, shown or raised holds no bare literal."""
    import ast

    shown = {"setText", "setHelp", "setWindowTitle", "pushInfo", "QgsProcessingException", "addRow"}
    for path in PLUGIN.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0]
            if name in shown and isinstance(first, ast.Constant) and first.value:
                pytest.fail(f"{path.name}:{node.lineno}: {first.value!r} is not translated")


def test_the_words_can_be_collected() -> None:
    found = strings.words(PLUGIN)
    assert {"Extract building footprints", "Set up…"} <= set(found)
    root = ElementTree.fromstring(strings.document(found))
    assert [one.text for one in root.iter("source")] == list(found)


def test_a_damaged_zip_is_found(right: Path) -> None:
    content = bytearray(right.read_bytes())
    with zipfile.ZipFile(right) as archive:
        offset = archive.getinfo("buildext_qgis/LICENSE").header_offset
    content[offset + 200] ^= 0xFF
    right.write_bytes(bytes(content))
    assert any("damaged" in line for line in validate.problems(right))
    right.write_bytes(bytes(content[:-100]))
    assert validate.problems(right)
