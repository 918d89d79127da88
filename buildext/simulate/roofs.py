"""Roof shapes: the plane pieces that close a tier.

A pitched roof is drawn over the smallest rectangle around the outline, l long and w wide, with u
along and v across, both from its middle:

| shape | height below the ridge |
|---|---|
| gable | rise · 2|v| / w |
| hip | rise · max(2|v| / w, 1 - (l - 2|u|) / w) |
| pyramid | rise · max(2|u| / l, 2|v| / w) |
| shed | rise · (1/2 - v / w) |

Each is the lowest of a few planes; where one of them is the lowest is a polygon, whose part inside
the outline is a piece. The ridge is at the tier's top; the rise is that of a pitch of 27°, limited
to a share of the tier's height.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.simulate.city import Roof
from buildext.simulate.faces import Pieces

Floats = NDArray[np.float64]
Polygons = NDArray[np.object_]

_PITCH = 0.5
_HIGHEST_SHARE = 0.45
# Pieces reach a little beyond the rectangle, so that rounding cuts nothing off at its sides.
_BEYOND_PX = 0.01


def roof_pieces(
    polygons: Polygons, base_m: Floats, top_m: Floats, roof: NDArray[np.uint8], gsd_m: float
) -> Pieces:
    """Close tiers with their roofs.

    Args:
        polygons: `(n,)` outlines in the plane (pixels), exterior rings counter-clockwise.
        base_m: `(n,)` lower ends.
        top_m: `(n,)` upper ends.
        roof: `(n,)` shapes.
        gsd_m: metres per pixel.
    """
    count = len(polygons)
    pitched = np.flatnonzero(roof != Roof.FLAT)
    flat = np.flatnonzero(roof == Roof.FLAT)
    found = [_pitched(polygons[i], base_m[i], top_m[i], Roof(roof[i]), gsd_m) for i in pitched]
    sizes = [len(pieces) for pieces, _, _ in found]
    parts = [polygons[flat], *(pieces for pieces, _, _ in found)]
    slopes = [np.zeros((len(flat), 2)), *(slope for _, slope, _ in found)]
    offsets = [top_m[flat], *(offset for _, _, offset in found)]
    solid = np.concatenate([flat, np.repeat(pitched, sizes)]).astype(np.int64)
    several = np.concatenate([np.zeros(len(flat), bool), np.repeat(np.array(sizes) > 1, sizes)])
    order = np.argsort(solid, kind="stable")
    return Pieces(
        polygons=np.concatenate(parts)[order] if count else np.empty(0, object),
        solid=solid[order],
        slope_xy=np.concatenate(slopes)[order],
        offset_m=np.concatenate(offsets)[order],
        walled=np.ones(len(solid), bool),
        split=several.astype(bool)[order],
    )


def _pitched(
    polygon: shapely.Polygon, base_m: float, top_m: float, roof: Roof, gsd_m: float
) -> tuple[Polygons, Floats, Floats]:
    """Pieces of one roof with slopes `(k, 2)` and offsets `(k,)`."""
    middle, u, v, length, width = _frame(polygon)
    half = (width if roof in (Roof.GABLE, Roof.HIP, Roof.PYRAMID) else 2 * width) / 2
    rise = min(_PITCH * half * gsd_m, _HIGHEST_SHARE * (top_m - base_m))
    pieces, slopes, offsets = [], [], []
    for corners, fall_u, fall_v, start in _planes(roof, length, width):
        region = shapely.Polygon(middle + np.outer(corners[:, 0], u) + np.outer(corners[:, 1], v))
        part = shapely.intersection(polygon, region)
        slope = -rise * (fall_u * u + fall_v * v)
        for piece in shapely.get_parts(part):
            if shapely.area(piece) > 0:
                pieces.append(piece)
                slopes.append(slope)
                offsets.append(top_m - rise * start - slope @ middle)
    return shapely.orient_polygons(np.array(pieces)), np.array(slopes), np.array(offsets)


def _frame(polygon: shapely.Polygon) -> tuple[Floats, Floats, Floats, float, float]:
    """Middle, unit vectors along and across, length and width of the smallest rectangle."""
    corners = shapely.get_coordinates(shapely.oriented_envelope(polygon))[:4]
    first, second = corners[1] - corners[0], corners[2] - corners[1]
    if np.hypot(*first) < np.hypot(*second):
        first, second = second, -first
    length, width = float(np.hypot(*first)), float(np.hypot(*second))
    return corners.mean(axis=0), first / length, second / width, length, width


def _planes(roof: Roof, length: float, width: float) -> list[tuple[Floats, float, float, float]]:
    """Region (corners in u, v), fall along u and v per pixel, and start below the ridge."""
    a, b = length / 2 + _BEYOND_PX, width / 2 + _BEYOND_PX
    if roof is Roof.GABLE:
        return [
            (np.array([(-a, 0), (a, 0), (a, b), (-a, b)]), 0.0, 2 / width, 0.0),
            (np.array([(-a, 0), (a, 0), (a, -b), (-a, -b)]), 0.0, -2 / width, 0.0),
        ]
    if roof is Roof.SHED:
        return [(np.array([(-a, -b), (a, -b), (a, b), (-a, b)]), 0.0, -1 / width, 0.5)]
    if roof is Roof.PYRAMID:
        fall, ridge = 2 / length, 0.0
    else:
        fall, ridge = 2 / width, (length - width) / 2
    start = -fall * ridge
    ends = [
        (np.array([(s * ridge, 0), (s * a, b), (s * a, -b)]), s * fall, 0.0, start) for s in (1, -1)
    ]
    sides = [
        (np.array([(-ridge, 0), (ridge, 0), (a, s * b), (-a, s * b)]), 0.0, s * 2 / width, 0.0)
        for s in (1, -1)
    ]
    return [*ends, *sides]
