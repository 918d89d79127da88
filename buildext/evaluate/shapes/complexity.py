"""Complexity: whether an outline is drawn with as many corners as the true one.

    vertex ratio = N_pred / N_ref
    C-IoU        = IoU · (1 − |N_pred − N_ref| / (N_pred + N_ref))

A staircase of pixels can have a high IoU; its C-IoU is low (S. Zorzi, S. Bazrafkan, S. Habenschuss,
F. Fraundorfer, "PolyWorld: Polygonal Building Extraction with Graph Neural Networks in Satellite
Images", CVPR 2022, section 4.2). There N counts the corners of an image, here those of a building.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from buildext.evaluate.shapes.vertices import vertices_of

Floats = NDArray[np.float64]


class Complexity(NamedTuple):
    """Of each pair: `(n,)` complexity-aware IoU and `(n,)` ratio of corners."""

    c_iou: Floats
    vertex_ratio: Floats


def complexity(pred: NDArray[np.object_], ref: NDArray[np.object_], iou: Floats) -> Complexity:
    """C-IoU and vertex ratio of matched polygons, `(n,)` each, with their `(n,)` IoU."""
    n_pred, n_ref = vertices_of(pred).count, vertices_of(ref).count
    c_iou = iou * (1 - np.abs(n_pred - n_ref) / (n_pred + n_ref))
    return Complexity(c_iou, n_pred / n_ref)
