"""Is this zip a plugin that QGIS and its plugin repository accept?

The rules are those of the repository's upload check, and two of our own: the plugin carries one
wheel of buildext, of its own version, and neither holds compiled code. Only the standard library is
used. Whether the addresses in the metadata can be reached is not asked here.

    python qgis_plugin/validate.py dist/buildext_qgis-0.1.0.zip
"""

from __future__ import annotations

import ast
import configparser
import io
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_BYTES = 25_000_000
OLDEST_PYTHON = (3, 9)
MANDATORY = (
    "name", "description", "version", "qgisMinimumVersion", "author", "email", "about", "tracker",
    "repository", "homepage", "icon",
)  # fmt: skip
ADDRESSES = ("tracker", "repository", "homepage")
SUFFIXES = frozenset({".py", ".txt", ".svg", ".qml", ".ts", ".whl", ""})
UNWANTED = re.compile(r"(^|/)(\.|__pycache__|__MACOSX|tests?/)|\.py[co]$")
COMPILED = frozenset({".so", ".pyd", ".dll", ".dylib", ".exe", ".a", ".o"})


def problems(path: Path) -> list[str]:
    """What is wrong with a plugin's zip; nothing where it is right."""
    if path.stat().st_size > MAX_BYTES:
        return [f"{path.stat().st_size} bytes; at most {MAX_BYTES} are accepted"]
    try:
        return list(_of_archive(path))
    except (zipfile.BadZipFile, zlib.error) as error:
        return [f"{path.name} is damaged: {error}"]


def _of_archive(path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
        if broken:
            yield f"{broken} is damaged"
            return
        files = {one.filename: one for one in archive.infolist() if not one.is_dir()}
        tops = {PurePosixPath(name).parts[0] for name in files}
        if len(tops) != 1 or not next(iter(tops)).isidentifier():
            yield f"one folder with the name of a module is expected, not {sorted(tops)}"
            return
        top = next(iter(tops))
        contents = {name[len(top) + 1 :]: archive.read(name) for name in files}
        modes = {name[len(top) + 1 :]: one.external_attr >> 16 for name, one in files.items()}
    yield from _of_names(contents, modes)
    yield from _of_texts(contents)
    yield from _of_metadata(contents)
    yield from _of_wheel(contents)


def _of_names(contents: dict[str, bytes], modes: dict[str, int]) -> Iterator[str]:
    for name in ("__init__.py", "metadata.txt", "LICENSE"):
        if name not in contents:
            yield f"{name} is missing"
    for name in contents:
        if UNWANTED.search(name) or ".." in PurePosixPath(name).parts:
            yield f"{name} does not belong into a plugin"
        if PurePosixPath(name).suffix not in SUFFIXES:
            yield f"{name} is of a kind that is not expected"
        if modes[name] & 0o111 or (modes[name] & 0o170000) not in (0, 0o100000):
            yield f"{name} is executable or not a plain file"


def _of_texts(contents: dict[str, bytes]) -> Iterator[str]:
    for name, content in contents.items():
        if name.endswith(".whl"):
            continue
        try:
            text = content.decode("utf-8")
            if name.endswith(".py"):
                ast.parse(text, name, feature_version=OLDEST_PYTHON)
        except (UnicodeDecodeError, SyntaxError) as error:
            yield f"{name}: {error}"


def _of_metadata(contents: dict[str, bytes]) -> Iterator[str]:
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read_string(contents.get("metadata.txt", b"[general]").decode("utf-8"))
    general = metadata["general"]
    for key in MANDATORY:
        if not general.get(key, "").strip():
            yield f"metadata.txt: {key} is missing"
    if "/" in general.get("author", ""):
        yield "metadata.txt: the author contains a /"
    if "@" not in general.get("email", ""):
        yield "metadata.txt: the email is none"
    for key in ADDRESSES:
        if not general.get(key, "").startswith("https://"):
            yield f"metadata.txt: {key} is not an https address"
    if general.get("icon", "") not in contents:
        yield "metadata.txt: the icon does not exist"
    if general.get("hasProcessingProvider") != "yes":
        yield "metadata.txt: hasProcessingProvider=yes is missing; qgis_process would not load it"
    if "supportsQt6" in general:
        yield "metadata.txt: supportsQt6 is out of use"


def _of_wheel(contents: dict[str, bytes]) -> Iterator[str]:
    wheels = [name for name in contents if name.endswith(".whl")]
    version = re.search(rb"^version=(.+)$", contents.get("metadata.txt", b""), re.MULTILINE)
    expected = f"wheels/buildext-{version[1].decode().strip() if version else '?'}-py3-none-any.whl"
    if wheels != [expected]:
        yield f"expected {expected} as the only wheel, got {wheels}"
        return
    with zipfile.ZipFile(io.BytesIO(contents[expected])) as wheel:
        for name in wheel.namelist():
            if PurePosixPath(name).suffix in COMPILED:
                yield f"{expected}: {name} is compiled"


if __name__ == "__main__":
    found = problems(Path(sys.argv[1]))
    sys.stdout.writelines(f"{line}\n" for line in found or ["the plugin's zip is right"])
    sys.exit(bool(found))
