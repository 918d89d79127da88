"""Layers in and out: polygons with all their fields, and masks taken apart into blobs.

A mask of merged houses becomes a layer too: each of its connected components (4 neighbours) is one
polygon, so that what moves in the labels moves in one piece.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from buildext.atomic import atomic_path
from buildext.errors import InputError, MissingInputError, NoCrsError, SceneError, UsageError
from buildext.footprints.destination import output_errors
from buildext.footprints.read_geoparquet import open_geoparquet

MASK_SUFFIXES = {".tif", ".tiff", ".vrt", ".img", ".png", ".jp2"}
_PARQUET_SUFFIXES = {".parquet", ".geoparquet", ".pq"}
_POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
# The GeoPackage keeps settings in its metadata, the other formats of this room are not offered.
_OUTPUT_SUFFIX = ".gpkg"


@dataclass(frozen=True, slots=True)
class Layer:
    """Polygons with fields.

    Attributes:
        crs: CRS of the coordinates.
        polygons: `(n,)` polygons or multipolygons, none of them empty.
        fields: name → `(n,)` values, in the order of the file.
    """

    crs: pyproj.CRS
    polygons: NDArray[np.object_]
    fields: Mapping[str, NDArray[Any]]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A field as float64 `(n,)`; what is no number is NaN.

        Raises:
            UsageError: no field of that name.
        """
        if name not in self.fields:
            raise UsageError(
                f"the layer has no field {name}; it has {', '.join(self.fields) or 'no fields'}",
                hint="choose one of these",
            )
        values = self.fields[name]
        if values.dtype.kind in "iuf":
            return values.astype(np.float64)
        return np.array([_number(value) for value in values], np.float64)


def read_layer(path: Path, layer: str | None = None) -> Layer:
    """Read polygons of a vector file or the blobs of a mask.

    Args:
        path: any OGR format, GeoParquet, or a raster in which every value above 0 is building.
        layer: name of the layer; None takes the first.

    Raises:
        MissingInputError: no such file.
        InputError: unreadable, not polygons, or nothing in it.
        NoCrsError: the file has no CRS.
        UsageError: no layer of that name.
    """
    if not path.exists():
        raise MissingInputError(f"no such file: {path}", hint="check the name and the folder")
    if path.suffix.lower() in MASK_SUFFIXES:
        crs, polygons, fields = _read_mask(path)
    elif path.suffix.lower() in _PARQUET_SUFFIXES:
        crs, polygons, fields = _read_geoparquet(path)
    else:
        crs, polygons, fields = _read_ogr(path, layer)
    if crs is None:
        raise NoCrsError(
            f"{path} has no CRS; expected one",
            hint="assign it, for example with ogr2ogr -a_srs or gdal_edit -a_srs",
        )
    polygons = shapely.force_2d(polygons)
    there = np.flatnonzero(~(shapely.is_missing(polygons) | shapely.is_empty(polygons)))
    if not len(there):
        raise InputError(f"{path} holds no building", hint="give a layer with polygons in it")
    kinds = np.unique(shapely.get_type_id(polygons[there]))
    if not np.isin(kinds, _POLYGONAL).all():
        names = ", ".join(shapely.GeometryType(kind).name.lower() for kind in kinds)
        raise InputError(
            f"{path} holds geometries of the kind {names}; expected polygons",
            hint="choose the layer that holds the building polygons",
        )
    kept = {name: values[there] for name, values in fields.items()}
    return Layer(pyproj.CRS.from_user_input(crs), polygons[there], kept)


def write_layer(
    path: Path, layer: Layer, name: str, metadata: Mapping[str, Any], overwrite: bool = False
) -> None:
    """Write a layer as a GeoPackage, complete or not at all.

    Args:
        path: the output, ending in `.gpkg`.
        layer: what to write.
        name: name of the layer in the file.
        metadata: settings of the run, fit for JSON; stored in the file.
        overwrite: replace an existing file.

    Raises:
        UsageError: another suffix than `.gpkg`.
        OutputError: the file cannot be written.
    """
    import pyarrow as pa
    import pyogrio

    if path.suffix.lower() != _OUTPUT_SUFFIX:
        raise UsageError(
            f"got the output {path.name}; expected the suffix {_OUTPUT_SUFFIX}",
            hint="write a GeoPackage and convert it with ogr2ogr",
        )
    polygons = layer.polygons
    several = (shapely.get_type_id(polygons) == shapely.GeometryType.MULTIPOLYGON).any()
    if several:
        polygons = np.array([_as_multi(polygon) for polygon in polygons], object)
    columns = {field: pa.array(values, from_pandas=True) for field, values in layer.fields.items()}
    schema = pa.schema(
        [pa.field(field, array.type) for field, array in columns.items()]
        + [pa.field("geometry", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})]
    )
    wkb = pa.array(list(shapely.to_wkb(polygons)), pa.binary())
    table = pa.Table.from_arrays([*columns.values(), wkb], schema=schema)
    with (
        atomic_path(path, overwrite) as temporary,
        output_errors(path, 4 * table.nbytes),
        _no_date(),
    ):
        pyogrio.write_arrow(
            table,
            temporary,
            driver="GPKG",
            layer=name,
            geometry_type="MultiPolygon" if several else "Polygon",
            crs=layer.crs.to_wkt(),
            layer_metadata={"buildext": json.dumps(metadata)},
        )


@contextlib.contextmanager
def _no_date() -> Iterator[None]:
    """The same content makes the same file: GDAL would store when it was written."""
    import pyogrio

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _as_multi(polygon: shapely.Geometry) -> shapely.Geometry:
    return shapely.multipolygons(shapely.get_parts(polygon))


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")


def _read_ogr(
    path: Path, layer: str | None
) -> tuple[str | None, NDArray[np.object_], dict[str, NDArray[Any]]]:
    import pyogrio
    import pyogrio.errors

    try:
        names = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
        if not names:
            raise InputError(f"{path} holds no layer", hint="give a file with building polygons")
        if layer is not None and layer not in names:
            raise UsageError(
                f"{path} has no layer {layer}; it has {', '.join(names)}",
                hint="choose one of these",
            )
        meta, _, wkb, values = pyogrio.raw.read(path, layer=layer or names[0])
    except pyogrio.errors.DataSourceError as error:
        raise InputError(
            f"{path} cannot be read as a vector file: {error}",
            hint="give a vector file (GeoPackage, GeoParquet, …) or a mask raster",
        ) from error
    if wkb is None:
        raise InputError(f"{path} has no geometry; expected polygons")
    fields = dict(zip([str(name) for name in meta["fields"]], values, strict=True))
    return meta["crs"], shapely.from_wkb(wkb), fields


def _read_geoparquet(
    path: Path,
) -> tuple[str | None, NDArray[np.object_], dict[str, NDArray[Any]]]:
    file, geometry = open_geoparquet(path)
    with file:
        table = file.read()
    fields = {name: table[name].to_numpy() for name in table.column_names if name != geometry.name}
    return geometry.crs, shapely.from_wkb(table[geometry.name].to_numpy()), fields


def _read_mask(path: Path) -> tuple[str | None, NDArray[np.object_], dict[str, NDArray[Any]]]:
    import rasterio
    from rasterio.errors import RasterioIOError
    from rasterio.features import shapes

    try:
        with rasterio.open(path) as raster:
            building = raster.read(1, masked=True).filled(0) > 0
            crs = raster.crs.to_wkt() if raster.crs else None
            transform = raster.transform
    except RasterioIOError as error:
        raise SceneError(
            f"{path} cannot be read as a raster: {error}", hint="give a mask or a vector file"
        ) from error
    blobs = shapes(building.view(np.uint8), mask=building, connectivity=4, transform=transform)
    polygons = [shapely.geometry.shape(geometry) for geometry, _ in blobs]
    return crs, np.array(polygons, object), {}
