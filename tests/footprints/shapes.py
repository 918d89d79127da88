"""Shapes for the tests of shaping: polygons drawn into pixels, and noise."""

from __future__ import annotations

import numpy as np
import shapely
from rasterio.features import rasterize
from rasterio.features import shapes as vectorise
from scipy import ndimage
from shapely import Polygon
from shapely.affinity import rotate

from buildext.footprints.raw import RawBuilding, RawGroup


def pixels_of(*polygons: Polygon) -> RawGroup:
    """Polygons as pixels: one raw building each, where later ones leave pixels to earlier ones."""
    size = int(max(max(p.bounds[2], p.bounds[3]) for p in polygons)) + 4
    labels = rasterize(
        [(p, n + 1) for n, p in reversed(list(enumerate(polygons)))], (size, size), dtype="int32"
    )
    return group_of(labels)


def group_of(labels: np.ndarray) -> RawGroup:
    """The labelled regions of an int32 image as raw buildings, sorted as a raw group is."""
    found = [
        shapely.geometry.shape(geometry)
        for geometry, _ in vectorise(labels.astype("int32"), mask=labels > 0, connectivity=4)
    ]
    found = list(shapely.orient_polygons(np.array(found)))
    found.sort(key=lambda p: (p.bounds[1], p.bounds[0]))
    return tuple(RawBuilding(p, 0.9, int(p.area), False) for p in found)


def turned(polygon: Polygon, degrees: float, centre: float = 60.0) -> Polygon:
    """The polygon rotated about its centre and moved to (`centre`, `centre`)."""
    moved = rotate(polygon, degrees, origin="centroid")
    x, y = moved.centroid.coords[0]
    return shifted(moved, centre - x, centre - y)


def shifted(polygon: Polygon, dx: float, dy: float) -> Polygon:
    """The polygon moved by (`dx`, `dy`), exactly where these are whole numbers."""
    return shapely.transform(polygon, lambda xy: xy + np.array([dx, dy]))


def blobs(seed: int, size: int = 96, parts: int = 1) -> np.ndarray:
    """A labelled image of random blobs, cut into touching parts."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), 5)
    mask = noise > np.quantile(noise, 0.7)
    labels, _ = ndimage.label(mask)
    if parts > 1:
        seeds = rng.integers(0, size, (parts, 2))
        rows, columns = np.mgrid[:size, :size]
        nearest = np.argmin([(rows - r) ** 2 + (columns - c) ** 2 for r, c in seeds], axis=0)
        labels = np.where(labels > 0, labels * parts + nearest, 0)
    return labels.astype(np.int32)


def corner_angles(polygon: Polygon) -> np.ndarray:
    """Degrees between consecutive edges of the exterior, 0 to 180."""
    ring = shapely.get_coordinates(polygon.exterior)[:-1]
    edges = np.roll(ring, -1, axis=0) - ring
    angle = np.degrees(np.arctan2(edges[:, 1], edges[:, 0]))
    return np.abs((angle - np.roll(angle, 1) + 180) % 360 - 180)


def iou(a: Polygon, b: Polygon) -> float:
    """Intersection over union."""
    return a.intersection(b).area / a.union(b).area
