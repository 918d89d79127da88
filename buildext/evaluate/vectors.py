"""Polygons in: any vector file that GDAL reads, and GeoParquet.

GeoParquet is read through pyarrow, since the GDAL inside the wheels is built without it. What
comes out is plain: an array of geometries, a CRS and, where asked for, one column of heights.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from buildext.errors import InputError, MissingInputError, NoCrsError, UsageError

_PARQUET_SUFFIXES = {".parquet", ".geoparquet", ".pq"}


@dataclass(frozen=True, slots=True)
class VectorFile:
    """What was read.

    Attributes:
        crs: the layer's CRS.
        geometries: `(N,)` shapely geometries as stored; rows without a geometry are left out.
        heights_m: `(N,)` float64, NaN where unknown; None where no field was asked for.
    """

    crs: pyproj.CRS
    geometries: NDArray[np.object_]
    heights_m: NDArray[np.float64] | None


def read_vector(
    path: Path, *, layer: str | None = None, height_field: str | None = None
) -> VectorFile:
    """Read the polygons of a vector file.

    Args:
        path: any OGR format or GeoParquet.
        layer: name of the layer; None takes the first.
        height_field: name of the field with heights in metres; None reads no field.

    Raises:
        MissingInputError: no such file.
        InputError: not a vector file, no such layer, not polygons.
        NoCrsError: the layer has no CRS.
        UsageError: no field of that name.
    """
    if not path.exists():
        raise MissingInputError(f"no such file: {path}", hint="check the name and the folder")
    if path.suffix.lower() in _PARQUET_SUFFIXES:
        crs_text, wkb, column = _read_geoparquet(path, height_field)
    else:
        crs_text, wkb, column = _read_ogr(path, layer, height_field)
    if not crs_text:
        raise NoCrsError(
            f"{path} has no CRS; expected one", hint="assign it, for example with ogr2ogr -a_srs"
        )
    geometries = shapely.from_wkb(wkb)
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    geometries = shapely.force_2d(geometries[there])
    kinds = np.unique(shapely.get_type_id(geometries))
    if not np.isin(kinds, (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)).all():
        names = ", ".join(shapely.GeometryType(kind).name.lower() for kind in kinds)
        raise InputError(
            f"{path} holds geometries of the kind {names}; expected polygons",
            hint="choose the layer that holds the building polygons",
        )
    heights = None if column is None else _as_metres(column)[there]
    return VectorFile(pyproj.CRS.from_user_input(crs_text), geometries, heights)


def _read_ogr(
    path: Path, layer: str | None, field: str | None
) -> tuple[str | None, NDArray[np.object_], NDArray[np.generic] | None]:
    """CRS, WKB and the field of an OGR layer."""
    import pyogrio
    import pyogrio.errors

    try:
        layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
        if not layers:
            raise InputError(f"{path} holds no layer", hint="give a file with building polygons")
        if layer is not None and layer not in layers:
            raise UsageError(
                f"{path} has no layer {layer}; it has {', '.join(layers)}",
                hint=_nearest(layer, layers),
            )
        name = layer or layers[0]
        _check_field(path, field, list(pyogrio.read_info(path, layer=name)["fields"]))
        columns = [] if field is None else [field]
        meta, _, wkb, values = pyogrio.raw.read(path, layer=name, columns=columns)
    except pyogrio.errors.DataSourceError as error:
        raise InputError(
            f"{path} cannot be read as a vector file: {error}",
            hint="give a vector file (GeoPackage, GeoParquet, …) or a mask raster",
        ) from error
    if wkb is None:
        raise InputError(f"the layer {name} of {path} has no geometry; expected polygons")
    return meta["crs"], wkb, None if field is None else values[0]


def _read_geoparquet(
    path: Path, field: str | None
) -> tuple[str | None, NDArray[np.object_], NDArray[np.generic] | None]:
    """CRS, WKB and the field of a GeoParquet file."""
    import pyarrow
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        geo = json.loads((file.schema_arrow.metadata or {})[b"geo"])
    except (pyarrow.ArrowInvalid, KeyError) as error:
        raise InputError(
            f"{path} is no GeoParquet file: {error}", hint="give a GeoParquet file of version 1"
        ) from error
    with file:
        primary = geo["primary_column"]
        about = geo["columns"][primary]
        if about["encoding"] != "WKB":
            raise InputError(
                f"{path} stores geometries as {about['encoding']}; expected WKB",
                hint="write it again with geometry_encoding='WKB'",
            )
        _check_field(path, field, [name for name in file.schema_arrow.names if name != primary])
        table = file.read(columns=[primary] if field is None else [primary, field])
    # No "crs" key means longitude and latitude; a null means that nobody knows (GeoParquet 1.1).
    crs = about.get("crs", "OGC:CRS84")
    crs_text = json.dumps(crs) if isinstance(crs, dict) else crs
    wkb = table[primary].to_numpy()
    return crs_text, wkb, None if field is None else table[field].to_numpy()


def _check_field(path: Path, field: str | None, fields: list[str]) -> None:
    if field is not None and field not in fields:
        raise UsageError(
            f"{path} has no field {field}; it has {', '.join(fields) or 'no fields at all'}",
            hint=_nearest(field, fields),
        )


def _nearest(name: str, names: list[str]) -> str:
    by_lower = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.4)
    return f"did you mean {by_lower[close[0]]}?" if close else "choose one of these"


def _as_metres(column: NDArray[np.generic]) -> NDArray[np.float64]:
    """Heights as numbers; text is parsed, what is no height (negative, unreadable) is NaN."""
    if column.dtype.kind in "iuf":
        heights = column.astype(np.float64)
    else:
        heights = np.array([_parse(value) for value in column], dtype=np.float64)
    return np.where(heights >= 0, heights, np.nan)


def _parse(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")
