"""Distances between outlines: PoLiS, their mean, and Hausdorff, their greatest.

Both ask how far each corner of one outline lies from the *line* (not the corners) of the other:

    PoLiS(A, B) = 1/(2q) Σ_{a ∈ corners of A} min_{b ∈ ∂B} ‖a − b‖
                + 1/(2r) Σ_{b ∈ corners of B} min_{a ∈ ∂A} ‖b − a‖

with q and r corners (J. Avbelj, R. Müller, R. Bamler, "A Metric for Polygon Comparison and Building
Extraction Evaluation", IEEE GRSL 12(1), 2015, equation 4), and the Hausdorff distance with the
greatest in place of the mean: the discrete one of GEOS, for which only corners are asked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.evaluate.shapes.vertices import Vertices, vertices_of

Floats = NDArray[np.float64]


# Pairs worked on at once: every corner becomes a point.
_BATCH_PAIRS = 20_000


class Distances(NamedTuple):
    """Of each pair: `(n,)` PoLiS and `(n,)` Hausdorff distance, in metres."""

    polis_m: Floats
    hausdorff_m: Floats


def outline_distances(pred: NDArray[np.object_], ref: NDArray[np.object_]) -> Distances:
    """PoLiS and Hausdorff distance of matched polygons, `(n,)` each."""
    polis_m, hausdorff_m = np.empty(len(pred)), np.empty(len(pred))
    for start in range(0, len(pred), _BATCH_PAIRS):
        some = slice(start, start + _BATCH_PAIRS)
        polis_m[some], hausdorff_m[some] = _batch(pred[some], ref[some])
    return Distances(polis_m, hausdorff_m)


def _batch(pred: NDArray[np.object_], ref: NDArray[np.object_]) -> tuple[Floats, Floats]:
    mean_there, greatest_there = _directed(vertices_of(pred), shapely.boundary(ref))
    mean_back, greatest_back = _directed(vertices_of(ref), shapely.boundary(pred))
    return (mean_there + mean_back) / 2, np.maximum(greatest_there, greatest_back)


def _directed(corners: Vertices, lines: NDArray[np.object_]) -> tuple[Floats, Floats]:
    """Mean and greatest distance of each polygon's corners from its partner's line."""
    distance = shapely.distance(shapely.points(corners.xy), lines[corners.polygon])
    mean = np.bincount(corners.polygon, distance, minlength=len(lines)) / corners.count
    greatest = np.zeros(len(lines))
    np.maximum.at(greatest, corners.polygon, distance)
    return mean, greatest
