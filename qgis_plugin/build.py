"""Make the plugin's zip: the folder `buildext_qgis`, the licence, and the wheel of buildext.

    python qgis_plugin/build.py --wheel build/plugin --out dist [--url https://…]

Only the standard library is used. The same tree gives the same bytes. `--url` is the project's
address for a release; without it the metadata keep an address that leads nowhere.
"""

from __future__ import annotations

import argparse
import re
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "buildext_qgis"
LICENSE = HERE.parent / "LICENSE"
SUFFIXES = frozenset({".py", ".txt", ".svg", ".qml", ".ts"})
NOWHERE = "https://buildext.example/"


def plugin_version() -> str:
    """The version in the plugin's metadata."""
    found = re.search(r"^version=(.+)$", (SOURCE / "metadata.txt").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit("metadata.txt has no version")
    return found[1].strip()


def contents(wheel: Path, url: str) -> dict[str, bytes]:
    """Names inside the plugin's folder, and what is in the files."""
    files = {
        path.relative_to(SOURCE).as_posix(): path.read_bytes()
        for path in SOURCE.rglob("*")
        if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts
    }
    if url:
        text = files["metadata.txt"].decode("utf-8")
        files["metadata.txt"] = text.replace(NOWHERE, url.rstrip("/") + "/").encode("utf-8")
    files["LICENSE"] = LICENSE.read_bytes()
    files[f"wheels/{wheel.name}"] = wheel.read_bytes()
    return files


def build(wheel: Path, out: Path, url: str = "") -> Path:
    """Write the zip into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{SOURCE.name}-{plugin_version()}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(contents(wheel, url).items()):
            entry = zipfile.ZipInfo(f"{SOURCE.name}/{name}", (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            # A wheel is a zip already.
            entry.compress_type = (
                zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED
            )
            archive.writestr(entry, content)
    return path


def main() -> None:
    """Build, check, and say where the zip is."""
    from validate import problems

    parser = argparse.ArgumentParser(description="Make the zip of the QGIS plugin.")
    parser.add_argument("--wheel", type=Path, required=True, help="folder with buildext's wheel")
    parser.add_argument("--out", type=Path, required=True, help="folder for the zip")
    parser.add_argument("--url", default="", help="the project's address")
    options = parser.parse_args()
    wheels = sorted(options.wheel.glob("buildext-*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"expected one wheel of buildext in {options.wheel}, got {len(wheels)}")
    path = build(wheels[0], options.out, options.url)
    found = problems(path)
    if found:
        path.unlink()
        raise SystemExit("\n".join(found))
    sys.stdout.write(f"{path} ({path.stat().st_size / 1e6:.1f} MB)\n")


if __name__ == "__main__":
    main()
