"""Opening GeoParquet: which column holds the geometries, and in which CRS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildext.errors import InputError

if TYPE_CHECKING:
    import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class GeoColumn:
    """What a GeoParquet file says of its geometries.

    Attributes:
        name: of the primary geometry column, in WKB.
        crs: PROJJSON or an authority's code; None where nobody knows it.
        box: name of the column with each geometry's box, if there is one.
    """

    name: str
    crs: str | None
    box: str | None


def open_geoparquet(
    path: Path, error: type[InputError] = InputError
) -> tuple[pq.ParquetFile, GeoColumn]:
    """The open file, to be closed by the caller, and its geometry column.

    Args:
        path: of a GeoParquet file, version 1.
        error: raised where it is none, or stores geometries otherwise than as WKB.
    """
    import pyarrow
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pyarrow.ArrowInvalid as problem:
        raise _no_geoparquet(path, problem, error) from problem
    try:
        # Of the file, not of its schema: a writer that streams adds it at the end.
        geo = json.loads((file.metadata.metadata or {})[b"geo"])
    except KeyError as problem:
        file.close()
        raise _no_geoparquet(path, problem, error) from problem
    about = geo["columns"][geo["primary_column"]]
    if about["encoding"] != "WKB":
        file.close()
        raise error(
            f"{path} stores geometries as {about['encoding']}; expected WKB",
            hint="write it again with geometry_encoding='WKB'",
        )
    # No "crs" key means longitude and latitude; a null means that nobody knows (GeoParquet 1.1).
    crs = about.get("crs", "OGC:CRS84")
    box = about.get("covering", {}).get("bbox", {}).get("xmin", [None])[0]
    text = json.dumps(crs) if isinstance(crs, dict) else crs
    return file, GeoColumn(geo["primary_column"], text, box)


def _no_geoparquet(path: Path, problem: Exception, error: type[InputError]) -> InputError:
    return error(
        f"{path} is no GeoParquet file: {problem}", hint="give a GeoParquet file of version 1"
    )
