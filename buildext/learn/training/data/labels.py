"""Labels from a file onto an image's grid: a mask, or one polygon a building.

Polygons may come in any CRS; they are brought to the image's and burnt by pixel centres, number `i`
for the `i`-th feature of the layer. Where an area of complete labels is given, everything outside
it is unknown: neither building nor background. What can be mended is mended and logged (broken
rings, odd mask values); what would silently teach nonsense is refused.

The steps from roofs to footprints are those of the labels, or of a layer of parts of roofs: a tower
and its podium are one building, but do not lean alike. The parts are burnt from the lowest to the
highest, since of all roofs that fall onto a pixel of an image the highest is seen.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import rasterio
import rasterio.features
import rasterio.warp
import shapely
from numpy.typing import NDArray

from buildext.errors import LabelError
from buildext.learn.training.data.dataset_card import ScenePaths

log = logging.getLogger(__name__)

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jp2")
# Corners of a mask may be off by this much of a pixel before it lies on another grid.
GRID_TOLERANCE_PX = 0.5

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels on an image's own grid.

    Attributes:
        labels: int32 `(H, W)`, 0 for the background.
        known: bool `(H, W)`, or None where all of it is known.
        heights_m: float32, by label, nan where unknown; None without a height field.
        offsets_m: float32 `(labels, 2)`, steps from roof to footprint along the columns and down
            the rows, nan where unknown; None without the fields.
        roof_parts: int32 `(H, W)`, rows of `offsets_m`, 0 where there is no part; None where these
            are the labels.
    """

    labels: NDArray[np.int32]
    known: NDArray[np.bool_] | None
    heights_m: NDArray[np.float32] | None
    offsets_m: NDArray[np.float32] | None = None
    roof_parts: NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """Polygons of a vector layer in the image's CRS, in the order of the file.

    Attributes:
        shapes: polygons; None or empty where a feature has none.
        values: the asked-for attributes of each feature, by name.
    """

    path: Path
    shapes: NDArray[Any]
    values: dict[str, NDArray[Any]]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which features have a polygon, bool `(features,)`."""
        nothing = shapely.is_missing(self.shapes) | shapely.is_empty(self.shapes)
        return np.asarray(~nothing, np.bool_)


def read_labels(paths: ScenePaths, source: rasterio.DatasetReader) -> Labels:
    """The labels of an open image.

    Raises:
        LabelError: they cannot be used with this image.
    """
    entry = paths.entry
    known = None
    if paths.area is not None:
        area = read_layer(paths.area, entry.area_layer, (), source.crs)
        _check_place(area, source)
        known = _burn(area, source) > 0
    if paths.labels.suffix.lower() in RASTER_SUFFIXES:
        for key in ("layer", "height_field", "offset_fields"):
            if getattr(entry, key) is not None:
                raise LabelError(
                    f"got `{key}` for the mask {paths.labels}; expected it with polygons only",
                    hint=f"drop `{key}` from the card or name a vector file in `labels`",
                )
        return Labels(_read_mask(paths.labels, source), known, None)
    heights = () if entry.height_field is None else (entry.height_field,)
    steps = entry.offset_fields or ()
    own = steps if paths.offsets is None else ()
    layer = read_layer(paths.labels, entry.layer, (*heights, *own), source.crs)
    if known is None or layer.usable.any():
        # With an area an empty layer is a statement, without one it is a mistake.
        _check_place(layer, source)
    heights_m = _heights(layer, heights[0]) if heights else None
    labels = _burn(layer, source)
    if paths.offsets is None:
        offsets_m = _offsets(layer, steps, source) if steps else None
        return Labels(labels, known, heights_m, offsets_m)
    assert entry.height_field is not None  # the card says so
    parts = read_layer(paths.offsets, None, (entry.height_field, *steps), source.crs)
    _check_place(parts, source)
    # What is burnt last stays; a part of unknown height must not hide another.
    order = np.argsort(np.nan_to_num(_heights(parts, entry.height_field)[1:]), kind="stable")
    steps_m = _offsets(parts, steps, source)
    return Labels(labels, known, heights_m, steps_m, _burn(parts, source, order))


def read_layer(path: Path, name: str | None, fields: Sequence[str], crs: Any) -> Layer:
    """One layer of polygons, repaired, brought to `crs`.

    Args:
        path: of the vector file.
        name: of the layer; None where the file holds one only.
        fields: attributes to read along.
        crs: anything that pyproj takes for a CRS.

    Raises:
        LabelError: it cannot be read, has no CRS, or holds something else than polygons.
    """
    try:
        name = _layer_name(path, name)
        info = pyogrio.read_info(path, layer=name)
        for field in fields:
            if field not in info["fields"]:
                raise LabelError(
                    f"got {path} without the field {field!r}; "
                    f"its fields are {', '.join(info['fields']) or 'none'}",
                    hint="correct `height_field` or `offset_fields` in the card",
                )
        meta, _, wkb, values = pyogrio.raw.read(
            path, layer=name, columns=list(fields), force_2d=True
        )
    except pyogrio.errors.DataSourceError as error:
        raise LabelError(f"cannot read {path}: {error}", hint="check the file") from error
    if info["crs"] is None:
        raise LabelError(f"got {path} without a coordinate reference system", hint="assign one")
    shapes = _polygons(shapely.from_wkb(wkb), path)
    transformer = pyproj.Transformer.from_crs(info["crs"], crs, always_xy=True)
    shapes = shapely.transform(shapes, transformer.transform, interleaved=False)
    # The columns come in the order of the file.
    return Layer(path, shapes, dict(zip(meta["fields"].tolist(), values, strict=True)))


def _layer_name(path: Path, name: str | None) -> str | None:
    """The layer to read; tables without geometry, such as styles, do not count."""
    found = [str(layer) for layer, kind in pyogrio.list_layers(path) if kind is not None]
    if name is None and len(found) > 1:
        raise LabelError(
            f"got {path} with {len(found)} layers: {', '.join(found)}; expected one",
            hint="name one in the card, by `layer` or `area_layer`",
        )
    if name is not None and name not in found:
        raise LabelError(
            f"got the layer {name!r}, which {path} does not have; it has {', '.join(found)}",
            hint="correct the name in the card",
        )
    return name or (found[0] if found else None)


def _polygons(shapes: NDArray[Any], path: Path) -> NDArray[Any]:
    """The shapes with broken rings mended; of what falls apart the polygons are kept."""
    there = ~shapely.is_missing(shapes)
    polygon = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
    wrong = there & ~np.isin(shapely.get_type_id(shapes), polygon)
    if wrong.any():
        kind = shapes[wrong][0].geom_type
        raise LabelError(
            f"got {np.count_nonzero(wrong)} features in {path} that are no polygons, "
            f"such as a {kind}; expected polygons",
            hint="take them out of the layer, or convert closed lines to polygons",
        )
    broken = np.flatnonzero(there & ~shapely.is_valid(shapes))
    for number in broken:
        parts = shapely.get_parts(shapely.make_valid(shapes[number]))
        parts = shapely.get_parts(parts)  # a multipolygon inside a collection
        flat = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
        shapes[number] = shapely.multipolygons(flat)
    if broken.size:
        log.warning("%s: mended %d broken of %d polygons", path, broken.size, len(shapes))
    return shapes


def _check_place(layer: Layer, source: rasterio.DatasetReader) -> None:
    """Refuse a layer without any polygon, and one that lies elsewhere than the image."""
    shapes = layer.shapes[layer.usable]
    if not shapes.size:
        raise LabelError(
            f"got {layer.path} without any polygon",
            hint="check the layer; where it is true that there is no building, "
            "say so with an `area` in the card",
        )
    rows, cols = np.array([0, 0, source.height, source.height]), np.array([0, source.width] * 2)
    grid = source.transform
    xs, ys = grid.a * cols + grid.b * rows + grid.c, grid.d * cols + grid.e * rows + grid.f
    image: Bounds = (float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max()))
    bounds = shapely.bounds(shapes)
    # Coordinates that the image's CRS cannot hold come back infinite.
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    here = (
        (bounds[:, 0] < image[2])
        & (bounds[:, 2] > image[0])
        & (bounds[:, 1] < image[3])
        & (bounds[:, 3] > image[1])
    )
    if here.any():
        return
    extent: Bounds | None = None
    if bounds.size:
        low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
        extent = (*low.tolist(), *high.tolist())
        if (low < image[2:]).all() and (high > image[:2]).all():
            # Around the image but not on it: one sheet of several under a common layer.
            log.warning("%s: none of its polygons lies on %s", layer.path, source.name)
            return
    raise LabelError(
        f"got {layer.path}, which lies outside the image {source.name}: "
        f"labels {_text(extent)}, image {_text(image)} (west, south, east, north in "
        f"{source.crs.to_string()})",
        hint="check that the labels belong to this image, their CRS and the order of their axes",
    )


def _text(bounds: Bounds | None) -> str:
    if bounds is None:
        return "nowhere in the image's CRS"
    return "(" + ", ".join(f"{value:.9g}" for value in bounds) + ")"


def _burn(
    layer: Layer, source: rasterio.DatasetReader, order: NDArray[np.intp] | None = None
) -> NDArray[np.int32]:
    """int32 `(H, W)`: number `i` where the centre of a pixel lies in the `i`-th feature.

    Of several the last one in `order` counts, by default in that of the file.
    """
    order = np.arange(len(layer.shapes)) if order is None else order
    burnt = [(layer.shapes[i], int(i) + 1) for i in order[layer.usable[order]]]
    if not burnt:
        return np.zeros(source.shape, np.int32)
    labels: NDArray[np.int32] = rasterio.features.rasterize(
        burnt, out_shape=source.shape, transform=source.transform, fill=0, dtype="int32"
    )
    return labels


def _heights(layer: Layer, field: str) -> NDArray[np.float32]:
    """Heights by label; what is no positive number is unknown, and counted in the log."""
    heights_m = np.insert(_numbers(layer.values[field]), 0, 0)
    heights_m[1:][~(np.isfinite(heights_m[1:]) & (heights_m[1:] > 0))] = np.nan
    missing = int(np.count_nonzero(np.isnan(heights_m)))
    if missing:
        count = len(heights_m) - 1
        log.warning("%s: %d of %d heights are unknown", layer.path, missing, count)
    return heights_m


def _offsets(
    layer: Layer, fields: Sequence[str], source: rasterio.DatasetReader
) -> NDArray[np.float32]:
    """Steps from roof to footprint by label, along the image's columns and down its rows.

    The fields hold metres east and north in the image's CRS; where its rows do not run east, the
    steps are turned with it.
    """
    east, north = (_numbers(layer.values[field]) for field in fields)
    grid = source.transform
    along = np.array([grid.a, grid.d]) / np.hypot(grid.a, grid.d)
    down = np.array([grid.b, grid.e]) / np.hypot(grid.b, grid.e)
    steps = np.column_stack([east, north]) @ np.column_stack([along, down])
    # The background has none.
    offsets_m = np.vstack([np.full((1, 2), np.nan), steps]).astype(np.float32)
    offsets_m[~np.isfinite(offsets_m).all(axis=1)] = np.nan
    missing = int(np.isnan(offsets_m[1:, 0]).sum())
    if missing:
        log.warning("%s: %d of %d offsets are unknown", layer.path, missing, len(steps))
    return offsets_m


def _numbers(values: NDArray[Any]) -> NDArray[np.float32]:
    """Attributes as numbers; nan for what is none."""
    numbers = np.full(len(values), np.nan, np.float32)
    for row, value in enumerate(values):
        with contextlib.suppress(TypeError, ValueError):
            numbers[row] = value
    return numbers


def _read_mask(path: Path, source: rasterio.DatasetReader) -> NDArray[np.int32]:
    """int32 `(H, W)` of 0 and 1: every value above 0 is building."""
    with rasterio.open(path) as mask:
        if mask.shape != source.shape:
            raise LabelError(
                f"got the mask {path} of {mask.shape} pixels for an image of {source.shape}",
                hint="resample the mask to the image's grid",
            )
        _check_grid(path, mask, source)
        values = mask.read(1)
        if mask.nodata is not None:
            log.warning(
                "%s: its nodata tag %g is ignored; 0 is background in a mask", path, mask.nodata
            )
    found = np.unique(values)
    if not (np.isin(found, (0, 1)).all() or np.isin(found, (0, 255)).all()):
        few = ", ".join(f"{value:g}" for value in found[:6]) + (", ..." if found.size > 6 else "")
        log.warning(
            "%s: got the values %s; expected 0 and 1 or 0 and 255; all above 0 are building",
            path,
            few,
        )
    return np.asarray(values > 0, np.int32)


def _check_grid(path: Path, mask: rasterio.DatasetReader, source: rasterio.DatasetReader) -> None:
    """Refuse a mask of the right size that lies elsewhere; one without a place is trusted."""
    if mask.crs is None and mask.transform.is_identity:
        return
    cols = np.array([0.0, mask.width, 0.0, mask.width])
    rows = np.array([0.0, 0.0, mask.height, mask.height])
    grid, back = mask.transform, ~source.transform
    xs, ys = grid.a * cols + grid.b * rows + grid.c, grid.d * cols + grid.e * rows + grid.f
    if mask.crs is not None and mask.crs != source.crs:
        xs, ys = (np.array(v) for v in rasterio.warp.transform(mask.crs, source.crs, xs, ys))
    off_px = np.hypot(
        back.a * xs + back.b * ys + back.c - cols, back.d * xs + back.e * ys + back.f - rows
    ).max()
    if not off_px <= GRID_TOLERANCE_PX:
        raise LabelError(
            f"got the mask {path} whose corners lie {off_px:.3g} px off those of {source.name}",
            hint="resample the mask to the image's grid, such as with `gdalwarp`",
        )
