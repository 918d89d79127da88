"""What a mosaic is made of: from the names on a command line to a list of rasters.

A name may be a raster, a folder (looked through to its depths), a pattern such as `tiles/*.tif`, a
text file with one name a line, a tile index (a vector layer whose features name files, GDAL's GTI
among them) or a STAC item collection. A VRT is one raster, whatever it names.

A catalogue also knows things that its files do not: when an image was taken, how far from nadir,
and fields of its own. They travel with the name.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildext.errors import MissingInputError, SceneError
from buildext.scene.access import RASTER_SUFFIXES, gdal_name, is_remote

LISTS = frozenset({".txt", ".lst"})
INDEXES = frozenset({".gpkg", ".shp", ".fgb", ".parquet"})
STAC = frozenset({".json", ".geojson"})


@dataclass(frozen=True, slots=True)
class Input:
    """One raster and what a catalogue says of it.

    Attributes:
        name: absolute path, or the name by which GDAL reads a remote file.
        acquired: time of acquisition as ISO 8601 in UTC, "" where unknown.
        off_nadir_deg: tilt of the view, None where unknown.
        rank: value of the field that was asked for, None where there is none.
        sensor: platform or instrument, "" where unknown.
    """

    name: str
    acquired: str = ""
    off_nadir_deg: float | None = None
    rank: float | str | None = None
    sensor: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """How names are looked up.

    Attributes:
        allow_remote: accept network sources.
        field: field of a tile index or property of STAC items that becomes `Input.rank`.
        asset: name of the asset to read of STAC items.
        without: a folder that is passed over: that of the output.
    """

    allow_remote: bool = False
    field: str | None = None
    asset: str | None = None
    without: Path | None = None


def list_inputs(names: Sequence[str], listing: Listing) -> list[Input]:
    """The rasters that names stand for, each once, in the order in which they are first met.

    Raises:
        MissingInputError: a name stands for nothing.
        SceneError: a name is remote and network sources are not allowed.
        InputError: a list or a catalogue cannot be read.
    """
    found: dict[str, Input] = {}
    for name in names:
        for one in _expand(name, listing):
            found.setdefault(one.name, one)
    if not found:
        raise MissingInputError("no raster was named; expected at least one")
    return list(found.values())


def resolve(name: str, folder: Path, listing: Listing) -> str:
    """A file name as a list or a catalogue in `folder` has it, made absolute.

    Raises:
        SceneError: it is remote and network sources are not allowed.
    """
    if is_remote(name) and not name.lower().startswith("file://"):
        if not listing.allow_remote:
            raise SceneError(
                f"{name}: a remote source; expected a file",
                hint="pass --allow-remote if you trust this source",
            )
        return gdal_name(name)
    return str((folder / name.removeprefix("file://")).absolute())


def _expand(name: str, listing: Listing) -> Iterator[Input]:
    path = Path(name)
    suffix = path.suffix.lower()
    if is_remote(name):
        resolved = resolve(name, Path(), listing)
        if suffix in STAC:
            from buildext.mosaic.stac import read_items

            yield from read_items(name, listing)
        else:
            yield Input(resolved)
    elif path.is_dir():
        yield from _in_folder(path, listing)
    elif not path.exists():
        # A pattern may be absolute, which `Path.glob` refuses.
        matches = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []  # noqa: PTH207
        if not matches:
            raise MissingInputError(f"{name}: no such file", hint="check the path or the pattern")
        for match in matches:
            yield from _expand(match, listing)
    elif suffix in LISTS:
        yield from _in_list(path, listing)
    elif suffix in STAC:
        from buildext.mosaic.stac import read_items

        yield from read_items(name, listing)
    elif suffix in INDEXES:
        from buildext.mosaic.tile_index import read_index

        yield from read_index(path, listing)
    else:
        yield Input(str(path.absolute()))


def _in_folder(folder: Path, listing: Listing) -> Iterator[Input]:
    without = None if listing.without is None else listing.without.absolute()
    files = sorted(
        file
        for file in folder.absolute().rglob("*")
        if file.suffix.lower() in RASTER_SUFFIXES
        and not file.name.startswith(".")
        and file.is_file()
        and (without is None or without not in file.parents)
    )
    if not files:
        raise MissingInputError(
            f"{folder}: no raster in this folder; expected files such as *.tif",
            hint="name the folder that holds the images",
        )
    yield from (Input(str(file)) for file in files)


def _in_list(path: Path, listing: Listing) -> Iterator[Input]:
    for line in path.read_text("utf-8").splitlines():
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        resolved = resolve(name, path.parent, listing)
        if not is_remote(resolved) and not Path(resolved).is_file():
            raise MissingInputError(f"{path}: names {name}, which is no file", hint="mend the list")
        yield Input(resolved)
