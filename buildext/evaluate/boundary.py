"""Boundary score: how many contour pixels lie within a tolerance of the other layer's contour.

A contour pixel is a building pixel with one of its four neighbours on the ground. Precision is the
share of predicted contour pixels within the tolerance θ of a true one, recall the share of true
ones within θ of a predicted one, and F1 their harmonic mean (Csurka, Larlus, Perronnin, "What is a
good evaluation measure for semantic segmentation?", BMVC 2013, section 3; the DAVIS benchmark of
Perazzi et al., CVPR 2016, uses the same with dilated contours, as done here).

Boundary IoU compares bands instead of lines: of each layer the building pixels within θ of its own
contour, and their intersection over their union (B. Cheng, R. Girshick, P. Dollár, A. C. Berg,
A. Kirillov, "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021,
equation 2; there θ is 2 % of the image's diagonal, here it is metres). Large buildings, whose
inside is easily right, weigh no more in it than their outlines do.

Distances run from pixel centre to pixel centre, in metres on the ground.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

# Keeps a neighbour at exactly θ inside, whatever the last bit of θ / pixel says.
_EPSILON = 1e-6


def contour(building: Mask, scored: Mask) -> Mask:
    """Building pixels with a 4-neighbour on scored ground.

    What lies outside the array or is not scored is no ground: a building cut by the frame has no
    contour along the cut.

    Args:
        building: `(H, W)`.
        scored: `(H, W)`, pixels that count.
    """
    ground = scored & ~building
    beside = np.zeros_like(building)
    beside[1:] |= ground[:-1]
    beside[:-1] |= ground[1:]
    beside[:, 1:] |= ground[:, :-1]
    beside[:, :-1] |= ground[:, 1:]
    return beside & building & scored


def halo_px(tolerance_m: float, pixel_xy_m: tuple[float, float]) -> int:
    """Pixels around a window that can change its boundary counts."""
    return math.ceil(tolerance_m / min(pixel_xy_m)) + 1


def grow_disc(mask: Mask, radius_m: float, pixel_xy_m: tuple[float, float]) -> Mask:
    """Every pixel within a radius of a pixel of the mask.

    A disc is a stack of horizontal runs, widest at the middle. Going from its top row inwards the
    runs only get wider, so each is the one before grown by a pixel or so: about four passes over
    the array for each pixel of radius instead of one for each pixel of the disc's area.
    """
    gx, gy = pixel_xy_m
    width = mask.shape[1]
    out = np.zeros_like(mask)
    run = mask.copy()
    half = 0
    for rise in range(math.floor(radius_m / gy + _EPSILON), -1, -1):
        wanted = math.floor(math.sqrt(max(radius_m**2 - (rise * gy) ** 2, 0.0)) / gx + _EPSILON)
        while half < min(wanted, width - 1):
            half += 1
            run[:, half:] |= mask[:, :-half]
            run[:, :-half] |= mask[:, half:]
        if rise < mask.shape[0]:
            out[rise:] |= run[: mask.shape[0] - rise]
            out[: mask.shape[0] - rise] |= run[rise:]
    return out


def boundary_hits(
    pred: Mask, ref: Mask, scored: Mask, tolerance_m: float, pixel_xy_m: tuple[float, float]
) -> tuple[Mask, ...]:
    """Contours and bands of both layers, and what of them the other layer confirms.

    Returns:
        Predicted contour, its confirmed part, true contour, its confirmed part, intersection and
        union of the bands; each `(H, W)`.
    """
    pred_contour, ref_contour = contour(pred, scored), contour(ref, scored)
    near_pred = grow_disc(pred_contour, tolerance_m, pixel_xy_m)
    near_ref = grow_disc(ref_contour, tolerance_m, pixel_xy_m)
    pred_band, ref_band = near_pred & pred, near_ref & ref
    return (
        pred_contour,
        pred_contour & near_ref,
        ref_contour,
        ref_contour & near_pred,
        pred_band & ref_band,
        pred_band | ref_band,
    )
