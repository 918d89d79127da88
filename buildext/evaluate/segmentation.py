"""Splits and merges: buildings found in pieces, and buildings found as one.

A true building is *over-segmented* where two or more predictions each lie with at least half of
their area in it and together cover at least half of it; predictions are counted as its pieces. A
prediction is *under-segmented* the other way round: two or more true buildings lie at least half in
it and together cover at least half of it (A. Hoover et al., "An Experimental Comparison of Range
Image Segmentation Algorithms", IEEE TPAMI 18(7), 1996, section 4, with their threshold T at 0.5).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from buildext.evaluate.matching import Index, Overlaps

Floats = NDArray[np.float64]

_HALF = 0.5 - 1e-9


class Segmentation(NamedTuple):
    """Pieces of each true building `(M,)`, true buildings merged by each prediction `(N,)`.

    Both are 0 where nothing was split or merged, and at least 2 elsewhere.
    """

    pieces: Index
    merged: Index


def segmentation(overlaps: Overlaps, pred_area_m2: Floats, ref_area_m2: Floats) -> Segmentation:
    """Splits and merges among overlapping objects, whose areas are `(N,)` and `(M,)`."""
    return Segmentation(
        pieces=_parts(overlaps.pred, overlaps.ref, overlaps.area_m2, pred_area_m2, ref_area_m2),
        merged=_parts(overlaps.ref, overlaps.pred, overlaps.area_m2, ref_area_m2, pred_area_m2),
    )


def _parts(
    part: Index, whole: Index, shared_m2: Floats, part_area_m2: Floats, whole_area_m2: Floats
) -> Index:
    """How many parts each whole consists of; 0 below two, or where they cover less than half."""
    inside = shared_m2 >= _HALF * part_area_m2[part]
    n = len(whole_area_m2)
    count = np.bincount(whole[inside], minlength=n)
    covered = np.bincount(whole[inside], shared_m2[inside], minlength=n)
    return np.where((count >= 2) & (covered >= _HALF * whole_area_m2), count, 0)
