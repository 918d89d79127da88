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
    flat, pitched = np.flatnonzero(roof == Roof.FLAT), np.flatnonzero(roof != Roof.FLAT)
    parts, solid, slopes, offsets = _pitched(
        polygons[pitched], base_m[pitched], top_m[pitched], roof[pitched], gsd_m
    )
    several = np.bincount(solid, minlength=len(pitched))[solid] > 1
    owner = np.concatenate([flat, pitched[solid]])
    order = np.argsort(owner, kind="stable")
    return Pieces(
        polygons=np.concatenate([polygons[flat], parts])[order],
        solid=owner[order],
        slope_xy=np.concatenate([np.zeros((len(flat), 2)), slopes])[order],
        offset_m=np.concatenate([top_m[flat], offsets])[order],
        walled=np.ones(len(owner), bool),
        split=np.concatenate([np.zeros(len(flat), bool), several])[order],
    )


def _pitched(
    polygons: Polygons, base_m: Floats, top_m: Floats, roof: NDArray[np.uint8], gsd_m: float
) -> tuple[Polygons, NDArray[np.int64], Floats, Floats]:
    """Pieces of pitched roofs, whose each they are, their slopes `(k, 2)` and offsets `(k,)`."""
    corners, solid, slopes, offsets = [], [], [], []
    envelopes = shapely.get_coordinates(shapely.oriented_envelope(polygons)).reshape(-1, 5, 2)
    for i, envelope in enumerate(envelopes[:, :4]):
        shape = Roof(roof[i])
        middle, u, v, length, width = _frame(envelope)
        half = (width if shape in (Roof.GABLE, Roof.HIP, Roof.PYRAMID) else 2 * width) / 2
        rise = min(_PITCH * half * gsd_m, _HIGHEST_SHARE * (top_m[i] - base_m[i]))
        for region, fall_u, fall_v, start in _planes(shape, length, width):
            corners.append(middle + np.outer(region[:, 0], u) + np.outer(region[:, 1], v))
            slope = -rise * (fall_u * u + fall_v * v)
            solid.append(i)
            slopes.append(slope)
            offsets.append(top_m[i] - rise * start - slope @ middle)
    if not corners:
        nothing = np.empty(0)
        return np.empty(0, object), np.empty(0, np.int64), nothing.reshape(0, 2), nothing
    # All at once: one by one, shapely's bookkeeping takes longer than the geometry.
    ring = np.repeat(np.arange(len(corners)), [len(c) for c in corners])
    regions = shapely.polygons(shapely.linearrings(np.concatenate(corners), indices=ring))
    cut = shapely.intersection(polygons[solid], regions)
    pieces, plane = shapely.get_parts(cut, return_index=True)
    some = shapely.area(pieces) > 0
    pieces, plane = shapely.orient_polygons(pieces[some]), plane[some]
    return pieces, np.array(solid)[plane], np.array(slopes)[plane], np.array(offsets)[plane]


def _frame(corners: Floats) -> tuple[Floats, Floats, Floats, float, float]:
    """Middle, unit vectors along and across, length and width of a rectangle `(4, 2)`."""
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
