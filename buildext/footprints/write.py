"""Writing footprints: one function, five formats, chosen by the file's suffix.

    with open_writer(Path("roofs.gpkg"), scene.crs, metadata=settings) as writer:
        for batch in batches:
            writer.write(batch)

The file appears under its name when the block ends well, complete; after an error, Ctrl-C or a full
disk there is nothing, and a file that was to be replaced is as it was. No batch at all gives a
valid file without features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from buildext.atomic import atomic_path
from buildext.errors import UsageError
from buildext.footprints.destination import Destination, FeatureWriter
from buildext.footprints.features import FEATURE_SCHEMA
from buildext.footprints.gdal import open_flatgeobuf, open_geojson, open_geopackage, open_pmtiles
from buildext.footprints.geoparquet import open_geoparquet


@dataclass(frozen=True, slots=True)
class VectorFormat:
    """A format that footprints can be written in.

    Attributes:
        name: what people call it.
        open: starts a file.
        fixed_crs: the format knows one CRS only, so the features must have one to be reprojected.
    """

    name: str
    open: Callable[[Destination], AbstractContextManager[FeatureWriter]]
    fixed_crs: bool = False


FORMATS = {
    ".gpkg": VectorFormat("GeoPackage", open_geopackage),
    ".parquet": VectorFormat("GeoParquet", open_geoparquet),
    ".fgb": VectorFormat("FlatGeobuf", open_flatgeobuf),
    ".geojson": VectorFormat("GeoJSON", open_geojson, fixed_crs=True),
    ".pmtiles": VectorFormat("PMTiles", open_pmtiles, fixed_crs=True),
}


def format_of(path: Path, crs: Any) -> VectorFormat:
    """The format that a path's suffix names.

    Raises:
        UsageError: the suffix is unknown, or the format needs a CRS and there is none.
    """
    known = ", ".join(f"{suffix} ({known.name})" for suffix, known in FORMATS.items())
    chosen = FORMATS.get(path.suffix.lower())
    if chosen is None:
        raise UsageError(
            f"got the output {path.name} with the suffix {path.suffix!r}; expected one of {known}",
            hint="choose one of these suffixes",
        )
    if chosen.fixed_crs and crs is None:
        raise UsageError(
            f"got an image without CRS for {path.name}; {chosen.name} needs one to be reprojected",
            hint="write .gpkg, .parquet or .fgb, which keep pixel coordinates",
        )
    return chosen


@contextlib.contextmanager
def open_writer(
    path: Path,
    crs: Any,
    *,
    metadata: Mapping[str, Any],
    overwrite: bool = False,
    layer: str = "footprints",
    schema: pa.Schema = FEATURE_SCHEMA,
) -> Iterator[FeatureWriter]:
    """Open a file of footprints.

    Args:
        path: the output; its suffix chooses the format, see `FORMATS`.
        crs: CRS of the features (rasterio, pyproj or text); None: pixels.
        metadata: settings of the run, fit for JSON; stored in the file.
        overwrite: replace an existing file.
        layer: name of the layer, where the format has layers.
        schema: columns of the batches.

    Yields:
        A writer; it is to be used from one thread.

    Raises:
        UsageError: see `format_of`.
        OutputExistsError: the file exists and `overwrite` is false.
        OutputError: the file cannot be written.
    """
    chosen = format_of(path, crs)
    with atomic_path(path, overwrite) as temporary:
        destination = Destination(temporary, path, schema, crs, layer, metadata)
        with chosen.open(destination) as writer:
            yield writer
    _remove_stale_journals(path)


def _remove_stale_journals(path: Path) -> None:
    """Remove the journals of a replaced GeoPackage: SQLite would replay them onto the new one."""
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
