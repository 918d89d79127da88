"""A layer of labels moved onto an image: the file side of alignment.

The image comes as a raster of building probability (`buildext extract --probability`), read window
by window. Labels may lie in any CRS; each is moved rigidly in its own, so that its shape stays
exactly what it was, and the step is told in true metres east and north.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from buildext.align.labels import Labels
from buildext.align.options import AlignOptions
from buildext.align.shapes import KEPT, MISSING, MOVED, UNSEEN, Alignment, align_windows
from buildext.errors import LabelError
from buildext.footprints.frame import as_pyproj
from buildext.grid.window import Window

log = logging.getLogger(__name__)

# A seam between two buildings is building too, but less so: half of the contact channel is taken
# off, which keeps rows of touching houses from sliding along themselves.
_SEAM = 0.5
# An extracted building is new where labels cover less than this share of it.
_NEW_BELOW = 0.1
FIELDS = ("east_m", "north_m", "confidence", "align_status")


@dataclass(frozen=True, slots=True)
class Aligned:
    """Labels at their new places.

    Attributes:
        labels: with `east_m`, `north_m`, `confidence` and `align_status` as further fields.
        status: `(n,)` see `shapes.py`.
        distance_m: `(n,)` length of each step on the ground.
    """

    labels: Labels
    status: NDArray[np.object_]
    distance_m: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """How many of each status, and how far they were moved."""
        moved = self.distance_m[self.status == MOVED]
        counts = {name: int((self.status == name).sum()) for name in (MOVED, KEPT, MISSING, UNSEEN)}
        spread = {
            "median_shift_m": round(float(np.median(moved)), 2) if len(moved) else None,
            "p90_shift_m": round(float(np.quantile(moved, 0.9)), 2) if len(moved) else None,
        }
        return {"labels": len(self.status), **counts, **spread}


def align_labels(
    probability: Path,
    labels: Labels,
    gsd_m: float,
    options: AlignOptions,
    advance: Callable[[int], None] | None = None,
) -> Aligned:
    """Move labels to where a probability raster shows their buildings.

    Args:
        probability: raster with the building probability as bytes in its first band, and the
            probability of seams in a second one named `contact` where there is one.
        labels: see `read_labels`.
        gsd_m: metres on the ground per pixel of the raster.
        options: see `AlignOptions`.
        advance: is told how many labels are done each time.

    Raises:
        LabelError: the labels cannot be brought to the image, or lie outside it.
    """
    with rasterio.open(probability) as raster:
        crs = as_pyproj(raster.crs)
        polygons = _to_pixels(labels, crs, raster.transform)
        _check_overlap(polygons, raster.transform, raster.height, raster.width, crs)
        seams = "contact" in raster.descriptions

        def read(window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
            where = RasterWindow(window.col, window.row, window.width, window.height)
            building = raster.read(1, window=where).astype(np.float32) / 255
            if seams:
                contact = raster.descriptions.index("contact") + 1
                building *= 1 - _SEAM / 255 * raster.read(contact, window=where)
            return building, raster.read_masks(1, window=where) > 0

        found = align_windows(
            read, (raster.height, raster.width), polygons, gsd_m, options, advance=advance
        )
        return _moved(labels, polygons, found, crs, raster.transform)


def new_buildings(extracted: Labels, labels: Labels) -> Labels:
    """The extracted buildings of which labels cover less than a tenth.

    Args:
        extracted: buildings seen in the image.
        labels: labels after their alignment, in any CRS.
    """
    project = pyproj.Transformer.from_crs(labels.crs, extracted.crs, always_xy=True)
    known = shapely.make_valid(_reprojected(labels.polygons, project))
    tree = shapely.STRtree(known)
    seen = shapely.make_valid(extracted.polygons)
    covered = np.zeros(len(seen))
    for i, polygon in enumerate(seen):
        hits = tree.query(polygon, predicate="intersects")
        if len(hits):
            overlap = shapely.area(shapely.intersection(polygon, shapely.union_all(known[hits])))
            covered[i] = overlap / shapely.area(polygon)
    new = covered < _NEW_BELOW
    return Labels(extracted.crs, extracted.polygons[new], extracted.fields.filter(pa.array(new)))


def _to_pixels(labels: Labels, crs: pyproj.CRS, transform: Affine) -> NDArray[np.object_]:
    inverse = ~transform
    project = pyproj.Transformer.from_crs(labels.crs, crs, always_xy=True)
    in_crs = _reprojected(labels.polygons, project)
    if not np.isfinite(shapely.total_bounds(in_crs)).all():
        raise LabelError(
            f"got labels with coordinates that {labels.crs.name} cannot bring to {crs.name}",
            hint="check that the layer's CRS is the one its coordinates are in",
        )
    a, b, c, d, e, f = inverse[:6]

    def carry(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy.T
        return np.column_stack((a * x + b * y + c, d * x + e * y + f))

    pixels: NDArray[np.object_] = shapely.transform(in_crs, carry)
    return pixels


def _reprojected(polygons: NDArray[np.object_], project: pyproj.Transformer) -> NDArray[np.object_]:
    carried: NDArray[np.object_] = shapely.transform(
        polygons, lambda xy: np.column_stack(project.transform(xy[:, 0], xy[:, 1]))
    )
    return carried


def _check_overlap(
    polygons: NDArray[np.object_], transform: Affine, height: int, width: int, crs: pyproj.CRS
) -> None:
    """Refuse labels of which none touches the image."""
    image = shapely.box(0, 0, width, height)
    if shapely.intersects(polygons, image).any():
        return

    def span(west: float, north: float, east: float, south: float) -> str:
        corners = [transform @ (x, y) for x in (west, east) for y in (north, south)]
        xs, ys = zip(*corners, strict=True)
        return f"x {min(xs):.7g} to {max(xs):.7g}, y {min(ys):.7g} to {max(ys):.7g}"

    raise LabelError(
        f"the labels lie outside the image: they span {span(*shapely.total_bounds(polygons))} and "
        f"the image {span(0, 0, width, height)} in {crs.name}",
        hint="check that both are of the same place, and the CRS of the labels",
    )


def _moved(
    labels: Labels,
    pixels: NDArray[np.object_],
    found: list[Alignment],
    crs: pyproj.CRS,
    transform: Affine,
) -> Aligned:
    steps_px = np.array([one.shift_xy_px for one in found]).reshape(-1, 2)
    middles = shapely.get_coordinates(shapely.centroid(pixels))
    to_labels = pyproj.Transformer.from_crs(crs, labels.crs, always_xy=True)

    def in_labels_crs(xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b, c, d, e, f = transform[:6]
        x, y = xy_px.T
        return np.column_stack(to_labels.transform(a * x + b * y + c, d * x + e * y + f))

    before, after = in_labels_crs(middles), in_labels_crs(middles + steps_px)
    xy, owner = shapely.get_coordinates(labels.polygons, return_index=True)
    there = np.where((steps_px == 0).all(axis=1)[:, None], 0.0, after - before)
    polygons = shapely.set_coordinates(labels.polygons.copy(), xy + there[owner])
    to_lonlat = pyproj.Transformer.from_crs(labels.crs, "OGC:CRS84", always_xy=True)
    start, stop = to_lonlat.transform(*before.T), to_lonlat.transform(*(before + there).T)
    azimuth_deg, _, distance_m = pyproj.Geod(ellps="WGS84").inv(*start, *stop)
    azimuth = np.radians(azimuth_deg)
    status = np.array([one.status for one in found], object)
    confidence = np.array([one.confidence for one in found])
    added = (
        (distance_m * np.sin(azimuth)).round(3),
        (distance_m * np.cos(azimuth)).round(3),
        confidence.round(4),
        status,
    )
    fields = labels.fields.drop_columns([n for n in FIELDS if n in labels.fields.column_names])
    for name, values in zip(FIELDS, added, strict=True):
        fields = fields.append_column(name, pa.array(values))
    return Aligned(Labels(labels.crs, polygons, fields), status, np.asarray(distance_m))
