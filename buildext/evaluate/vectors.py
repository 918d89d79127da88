"""Polygons in: any vector file that GDAL reads, and GeoParquet.

GeoParquet is read through pyarrow, since the GDAL inside the wheels is built without it. What
comes out is plain: an array of geometries, a CRS and, where asked for, columns of numbers.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from buildext.errors import InputError, MissingInputError, NoCrsError, UsageError
from buildext.footprints.read_geoparquet import open_geoparquet

_PARQUET_SUFFIXES = {".parquet", ".geoparquet", ".pq"}


@dataclass(frozen=True, slots=True)
class VectorFile:
    """What was read.

    Attributes:
        crs: the layer's CRS.
        geometries: `(N,)` shapely geometries as stored; rows without a geometry are left out.
        heights_m: `(N,)` float64, NaN where unknown; None where no field was asked for.
        fields: `(N,)` float64 columns that may be there, those that are; NaN where no number.
    """

    crs: pyproj.CRS
    geometries: NDArray[np.object_]
    heights_m: NDArray[np.float64] | None
    fields: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def read_vector(
    path: Path,
    *,
    layer: str | None = None,
    height_field: str | None = None,
    optional: tuple[str, ...] = (),
) -> VectorFile:
    """Read the polygons of a vector file.

    Args:
        path: any OGR format or GeoParquet.
        layer: name of the layer; None takes the first.
        height_field: name of the field with heights in metres; None reads no field.
        optional: names of further fields of numbers, read where the file has them.

    Raises:
        MissingInputError: no such file.
        InputError: not a vector file, no such layer, not polygons.
        NoCrsError: the layer has no CRS.
        UsageError: no field of that name.
    """
    if not path.exists():
        raise MissingInputError(f"no such file: {path}", hint="check the name and the folder")
    if path.suffix.lower() in _PARQUET_SUFFIXES:
        crs_text, wkb, columns = _read_geoparquet(path, height_field, optional)
    else:
        crs_text, wkb, columns = _read_ogr(path, layer, height_field, optional)
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
    heights = None
    if height_field is not None:
        heights = _as_numbers(columns[height_field])[there]
        # A negative height is none.
        heights = np.where(heights >= 0, heights, np.nan)
    return VectorFile(
        pyproj.CRS.from_user_input(crs_text),
        geometries,
        heights,
        {name: _as_numbers(columns[name])[there] for name in optional if name in columns},
    )


def read_names(path: Path, name: str) -> NDArray[np.object_] | None:
    """A column of text of a file's first layer, for rows with a geometry; None without it."""
    if path.suffix.lower() in _PARQUET_SUFFIXES:
        _, wkb, columns = _read_geoparquet(path, None, (name,))
    else:
        _, wkb, columns = _read_ogr(path, None, None, (name,))
    if name not in columns:
        return None
    geometries = shapely.from_wkb(wkb)
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    texts = np.array([str(value) for value in columns[name]], dtype=object)
    chosen: NDArray[np.object_] = texts[there]
    return chosen


def _read_ogr(
    path: Path, layer: str | None, needed: str | None, optional: tuple[str, ...]
) -> tuple[str | None, NDArray[np.object_], dict[str, NDArray[np.generic]]]:
    """CRS, WKB and the asked-for fields of an OGR layer."""
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
        there = list(pyogrio.read_info(path, layer=name)["fields"])
        columns = _wanted(path, needed, optional, there)
        meta, _, wkb, values = pyogrio.raw.read(path, layer=name, columns=columns)
    except pyogrio.errors.DataSourceError as error:
        raise InputError(
            f"{path} cannot be read as a vector file: {error}",
            hint="give a vector file (GeoPackage, GeoParquet, …) or a mask raster",
        ) from error
    if wkb is None:
        raise InputError(f"the layer {name} of {path} has no geometry; expected polygons")
    # The values come in the order of the file.
    return meta["crs"], wkb, dict(zip(meta["fields"].tolist(), values, strict=True))


def _read_geoparquet(
    path: Path, needed: str | None, optional: tuple[str, ...]
) -> tuple[str | None, NDArray[np.object_], dict[str, NDArray[np.generic]]]:
    """CRS, WKB and the asked-for fields of a GeoParquet file."""
    file, geometry = open_geoparquet(path)
    with file:
        others = [name for name in file.schema_arrow.names if name != geometry.name]
        columns = _wanted(path, needed, optional, others)
        table = file.read(columns=[geometry.name, *columns])
    wkb = table[geometry.name].to_numpy()
    return geometry.crs, wkb, {name: table[name].to_numpy() for name in columns}


def _wanted(
    path: Path, needed: str | None, optional: tuple[str, ...], there: list[str]
) -> list[str]:
    """The fields to read, each once."""
    if needed is not None and needed not in there:
        raise UsageError(
            f"{path} has no field {needed}; it has {', '.join(there) or 'no fields at all'}",
            hint=_nearest(needed, there),
        )
    found = [name for name in dict.fromkeys(optional) if name in there and name != needed]
    return found if needed is None else [needed, *found]


def _nearest(name: str, names: list[str]) -> str:
    by_lower = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.4)
    return f"did you mean {by_lower[close[0]]}?" if close else "choose one of these"


def _as_numbers(column: NDArray[np.generic]) -> NDArray[np.float64]:
    """A column as numbers; text is parsed, what is unreadable is NaN."""
    if column.dtype.kind in "iuf":
        return column.astype(np.float64)
    return np.array([_parse(value) for value in column], dtype=np.float64)


def _parse(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")
