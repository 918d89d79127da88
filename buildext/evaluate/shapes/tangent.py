"""Max tangent angle error: the worst wrong direction along an outline.

Points are set along the predicted outline at even steps and each is projected onto the nearest
point of the true outline. Where two neighbours and their projections span chords of similar length,
the angle between the chords (as lines, without direction: 0° to 90°) is an error of the tangent;
the greatest along an outline is its MTA (N. Girard, D. Smirnov, J. Solomon, Y. Tarabalka,
"Polygonal Building Extraction by Frame Field Learning", CVPR 2021, section 4.2). Chords that the
projection stretches or shrinks by more than 2 are left out, as in the paper: there the projection
jumps. Rounded corners, wobbling walls and staircases show here, while IoU barely sees them.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MAX_STRETCH = 2.0

# Points worked on at once; with its projection each takes about half a kilobyte.
_BATCH_POINTS = 200_000


def max_tangent_angle_deg(
    pred: NDArray[np.object_], ref: NDArray[np.object_], step_m: float
) -> Floats:
    """MTA of matched polygons in degrees.

    Args:
        pred: `(n,)` polygons.
        ref: `(n,)` polygons.
        step_m: distance between points along the predicted outline.

    Returns:
        `(n,)`; NaN where no chord is left.
    """
    out = np.full(len(pred), np.nan)
    batch = np.cumsum(shapely.length(pred) / step_m + 1) // _BATCH_POINTS
    for number in np.unique(batch):
        some = np.flatnonzero(batch == number)
        out[some] = _batch(pred[some], ref[some], step_m)
    return out


def _batch(pred: NDArray[np.object_], ref: NDArray[np.object_], step_m: float) -> Floats:
    parts, part_pair = shapely.get_parts(pred, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    pair = part_pair[ring_part]
    length = shapely.length(rings)
    steps = np.maximum(1, np.rint(length / step_m)).astype(np.intp)
    # Each ring gets steps + 1 points; the last is the first again and closes it.
    ring = np.repeat(np.arange(len(rings)), steps + 1)
    first = np.repeat(np.cumsum(steps + 1) - (steps + 1), steps + 1)
    share = (np.arange(len(ring)) - first) / steps[ring]
    points = shapely.line_interpolate_point(rings[ring], share * length[ring])
    lines = shapely.boundary(ref)
    # A shortest line has two ends; the first lies on the true outline.
    nearest_xy = shapely.get_coordinates(shapely.shortest_line(lines[pair[ring]], points))[::2]
    chord = np.diff(shapely.get_coordinates(points), axis=0)
    other = np.diff(nearest_xy, axis=0)
    chord_m, other_m = np.hypot(*chord.T), np.hypot(*other.T)
    good = (ring[1:] == ring[:-1]) & (chord_m > 0) & (other_m > 0)
    good &= (chord_m < _MAX_STRETCH * other_m) & (other_m < _MAX_STRETCH * chord_m)
    cosine = np.abs((chord[good] * other[good]).sum(axis=1)) / (chord_m[good] * other_m[good])
    least = np.full(len(pred), np.inf)
    np.minimum.at(least, pair[ring[:-1][good]], cosine)
    found = np.isfinite(least)
    angle = np.full(len(pred), np.nan)
    angle[found] = np.degrees(np.arccos(np.clip(least[found], 0, 1)))
    return angle
