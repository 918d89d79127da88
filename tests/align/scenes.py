"""Rasters of probability drawn from known roofs."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import shapely
from numpy.typing import NDArray

from buildext.align.template import coverage
from buildext.grid.window import Window

GSD_M = 0.25


def probability_of(
    roofs: list[shapely.Geometry], shape_hw: tuple[int, int], *, blur_px: float = 1.5
) -> NDArray[np.float32]:
    """What a good network would say: 0.97 on roofs, 0.03 beside them, soft at the edges."""
    inside = np.zeros(shape_hw, np.float32)
    for roof in roofs:
        np.maximum(inside, coverage(roof, Window(0, 0, *shape_hw)), out=inside)
    return scipy.ndimage.gaussian_filter(0.03 + 0.94 * inside, blur_px)


def village(seed: int = 3) -> list[shapely.Geometry]:
    """Twelve houses of different sizes on a ground of 100 × 100 m."""
    rng = np.random.default_rng(seed)
    roofs = []
    for row in range(3):
        for col in range(4):
            x, y = 60 + col * 90 + rng.uniform(-15, 15), 70 + row * 120 + rng.uniform(-20, 20)
            w, h = rng.uniform(25, 50, 2)
            roofs.append(
                shapely.affinity.rotate(shapely.box(x, y, x + w, y + h), rng.uniform(0, 90))
            )
    return roofs


def moved(shape: shapely.Geometry, x: float, y: float) -> shapely.Geometry:
    """A shape moved by pixels."""
    return shapely.transform(shape, lambda xy: xy + np.array([x, y]))
