"""Labels in and out: a layer of polygons with all its fields, in any CRS.

Read as an Arrow table, so that every field keeps its type on the way through. Formats are told by
the suffix: whatever OGR reads, and GeoParquet, which the GDAL inside the wheels cannot; GeoPackage,
GeoParquet, FlatGeobuf and GeoJSON are written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray

from buildext.atomic import atomic_path
from buildext.errors import LabelError, MissingInputError, NoCrsError, UsageError
from buildext.footprints.destination import output_errors
from buildext.footprints.read_geoparquet import open_geoparquet

log = logging.getLogger(__name__)

PARQUET_SUFFIXES = {".parquet", ".geoparquet", ".pq"}
DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON"}
GEOMETRY = "geometry"
_POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


@dataclass(frozen=True, slots=True)
class Labels:
    """A layer of polygons.

    Attributes:
        crs: CRS of the coordinates.
        polygons: `(n,)` polygons and multipolygons, none of them empty.
        fields: `n` rows of everything but the geometry.
    """

    crs: pyproj.CRS
    polygons: NDArray[np.object_]
    fields: pa.Table


def read_labels(path: Path, layer: str | None = None, *, may_be_empty: bool = False) -> Labels:
    """Read a layer of polygons; rows without a geometry are left out, with a warning.

    Args:
        path: any OGR format or GeoParquet.
        layer: name of the layer; None takes the first.
        may_be_empty: a layer without polygons is an answer too.

    Raises:
        MissingInputError: no such file.
        LabelError: unreadable, empty, or not polygons.
        NoCrsError: the layer has no CRS.
        UsageError: no layer of that name.
    """
    if not path.exists():
        raise MissingInputError(f"no such file: {path}", hint="check the name and the folder")
    parquet = path.suffix.lower() in PARQUET_SUFFIXES
    crs, column, table = _read_geoparquet(path) if parquet else _read_ogr(path, layer)
    if not crs:
        raise NoCrsError(
            f"{path} has no CRS; expected one", hint="assign it, for example with ogr2ogr -a_srs"
        )
    polygons = shapely.from_wkb(table[column].to_numpy())
    there = ~(shapely.is_missing(polygons) | shapely.is_empty(polygons))
    if not there.any() and not may_be_empty:
        raise LabelError(f"{path} holds no building", hint="give a layer with polygons in it")
    if not there.all():
        log.warning("%d of %d labels have no geometry and are left out", (~there).sum(), len(there))
    polygons = shapely.force_2d(polygons[there])
    kinds = np.unique(shapely.get_type_id(polygons))
    if not np.isin(kinds, _POLYGONAL).all():
        names = ", ".join(shapely.GeometryType(kind).name.lower() for kind in kinds)
        raise LabelError(
            f"{path} holds geometries of the kind {names}; expected polygons",
            hint="choose the layer that holds the building polygons",
        )
    fields = table.drop_columns([column]).filter(pa.array(there))
    return Labels(pyproj.CRS.from_user_input(crs), polygons, fields)


def check_format(path: Path) -> None:
    """Refuse a suffix that cannot be written.

    Raises:
        UsageError: it is none of the known ones.
    """
    known = [*DRIVERS, *sorted(PARQUET_SUFFIXES)]
    if path.suffix.lower() not in known:
        raise UsageError(
            f"got the output {path.name}; expected one of {', '.join(known)}",
            hint="choose one of these suffixes",
        )


def write_labels(
    path: Path,
    labels: Labels,
    layer: str,
    metadata: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a layer in its CRS (GeoJSON: longitude and latitude), complete or not at all.

    Args:
        path: the output; its suffix chooses the format.
        labels: what to write.
        layer: name of the layer, where the format has layers.
        metadata: settings of the run, fit for JSON; stored in the file.
        overwrite: replace an existing file.

    Raises:
        UsageError: see `check_format`.
        OutputExistsError, OutputError: the file cannot be written.
    """
    check_format(path)
    several = (shapely.get_type_id(labels.polygons) == shapely.GeometryType.MULTIPOLYGON).any()
    polygons, kind = labels.polygons, "MultiPolygon" if several else "Polygon"
    if several:
        polygons = np.array([shapely.multipolygons(shapely.get_parts(p)) for p in polygons], object)
    geometry = pa.field(GEOMETRY, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
    wkb = pa.array(shapely.to_wkb(polygons).tolist(), pa.binary())
    table = labels.fields.append_column(geometry, wkb)
    with atomic_path(path, overwrite) as temporary, output_errors(path, 4 * table.nbytes):
        if path.suffix.lower() in PARQUET_SUFFIXES:
            _write_geoparquet(temporary, table, labels.crs, kind, metadata)
        else:
            _write_ogr(temporary, table, labels.crs, kind, layer, metadata)


def _read_ogr(path: Path, layer: str | None) -> tuple[str | None, str, pa.Table]:
    """CRS, name of the column with WKB, and all rows."""
    import pyogrio
    import pyogrio.errors

    try:
        names = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
        if layer is not None and layer not in names:
            raise UsageError(
                f"{path} has no layer {layer}; it has {', '.join(names) or 'none'}",
                hint="choose one of these",
            )
        if not names:
            raise LabelError(f"{path} holds no layer", hint="give a layer of building polygons")
        meta, table = pyogrio.read_arrow(path, layer=layer or names[0])
    except pyogrio.errors.DataSourceError as error:
        raise LabelError(
            f"{path} cannot be read as a vector file: {error}",
            hint="give a vector file with building polygons",
        ) from error
    column = meta["geometry_name"] or "wkb_geometry"
    if column not in table.column_names:
        raise LabelError(f"{path} has no geometry; expected polygons")
    return meta["crs"], column, table


def _read_geoparquet(path: Path) -> tuple[str | None, str, pa.Table]:
    file, geometry = open_geoparquet(path, LabelError)
    with file:
        table = file.read()
    # The box of each geometry is out of date once the geometry has moved.
    if geometry.box in table.column_names:
        table = table.drop_columns([geometry.box])
    return geometry.crs, geometry.name, table


def _write_ogr(
    path: Path,
    table: pa.Table,
    crs: pyproj.CRS,
    kind: str,
    layer: str,
    metadata: Mapping[str, Any],
) -> None:
    import pyogrio

    driver = DRIVERS[path.suffix.lower()]
    authority = crs.to_authority()
    pyogrio.write_arrow(
        table.replace_schema_metadata(None),
        path,
        driver=driver,
        layer=layer,
        geometry_type=kind,
        crs=":".join(authority) if authority else crs.to_wkt(),
        layer_metadata=None if driver == "GeoJSON" else {"buildext": json.dumps(metadata)},
        layer_options={"RFC7946": "YES"} if driver == "GeoJSON" else {},
    )


def _write_geoparquet(
    path: Path, table: pa.Table, crs: pyproj.CRS, kind: str, metadata: Mapping[str, Any]
) -> None:
    import pyarrow.parquet as pq

    about = {"encoding": "WKB", "geometry_types": [kind], "crs": crs.to_json_dict()}
    geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: about}}
    stored = {"geo": json.dumps(geo), "buildext": json.dumps(metadata)}
    pq.write_table(table.replace_schema_metadata(stored), path, compression="zstd")
