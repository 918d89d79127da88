"""Scores: how well a label fits a probability raster, for every shift at once.

The evidence of a pixel is 2p - 1, from -1 (surely no building) to 1 (surely one), and 0 where
nothing is known. A label fits where the evidence inside it is high and that in a ring around it is
low:

    score(t) = mean of the evidence inside - mean of the evidence in the ring,   label moved by t

The ring leaves out what other labels cover: they move much as this one does, so in a row of
touching houses nobody expects open ground at the party walls. Seen as a correlation of the evidence
with a template of zero mean, the scores of all whole-pixel shifts come out of one Fourier
transform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.fft
import shapely
from numpy.typing import NDArray

from buildext.align.template import coverage
from buildext.grid.window import Window

Floats = NDArray[np.float32]
Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Surface:
    """Scores of a label at shifts of -n … n pixels along both axes.

    Attributes:
        score: `(2n + 1, 2n + 1)`, -2 to 2; rows are shifts along y, columns along x.
        inside: the same for the mean evidence inside alone, -1 to 1.
        known: share of the pixels within reach that are valid.
    """

    score: Floats
    inside: Floats
    known: float


def evidence(probability: NDArray[np.generic], valid: NDArray[np.bool_]) -> Floats:
    """Building probability (bytes, or floats from 0 to 1) `(H, W)` as evidence."""
    scale = 255.0 if probability.dtype == np.uint8 else 1.0
    signed = probability.astype(np.float32) * np.float32(2 / scale) - np.float32(1)
    return np.where(valid, signed, np.float32(0))


def coarser(
    signed: Floats, valid: NDArray[np.bool_], factor: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Means over squares of `factor` pixels; what a square lacks at the edges is unknown."""
    if factor == 1:
        return signed, valid
    height, width = (-(-side // factor) for side in signed.shape)
    padding = ((0, height * factor - signed.shape[0]), (0, width * factor - signed.shape[1]))
    squares = (height, factor, width, factor)
    mean = np.pad(signed, padding).reshape(squares).mean(axis=(1, 3), dtype=np.float32)
    known = np.pad(valid, padding).reshape(squares).max(axis=(1, 3))
    return mean, np.asarray(known, np.bool_)


def surface(
    signed: Floats,
    valid: NDArray[np.bool_],
    shape: shapely.Geometry,
    others: NDArray[np.object_],
    ring_px: float,
    reach_px: int,
) -> Surface:
    """Score a label at all shifts.

    Args:
        signed: evidence, see `evidence`.
        valid: `(H, W)`.
        shape: the label in pixels.
        others: other labels that may touch its ring.
        ring_px: width of the ring.
        reach_px: greatest shift along an axis.
    """
    around = shapely.buffer(shape, ring_px, quad_segs=4)
    window = _window_of(around)
    inside = coverage(shape, window)
    ring = coverage(around, window) - inside
    taken = np.zeros_like(ring)
    for other in others:
        shared = _window_of(other).intersection(window)
        if shared is not None:
            there = taken[shared.shifted(-window.row, -window.col).slices]
            np.maximum(there, coverage(other, shared), out=there)
    ring *= 1 - taken
    reached = Window(
        window.row - reach_px,
        window.col - reach_px,
        window.height + 2 * reach_px,
        window.width + 2 * reach_px,
    )
    ground = cut(signed, reached)
    area, ring_area = float(inside.sum()), float(ring.sum())
    of_inside, of_ring = correlate(ground, (inside, ring))
    mean_inside = of_inside / max(area, 1e-6)
    # A label without open ground around it says nothing by its ring.
    mean_ring = of_ring / ring_area if ring_area > 0.02 * area else np.zeros_like(of_ring)
    known = float(cut(valid, reached).mean())
    return Surface(mean_inside - mean_ring, mean_inside, known)


def correlate(ground: Floats, templates: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """Sums of `ground · template` with the template laid at every place where it fits in."""
    shape = [scipy.fft.next_fast_len(side, real=True) for side in ground.shape]
    far = scipy.fft.rfft2(ground, shape)
    out = []
    for template in templates:
        near = scipy.fft.rfft2(template, shape)
        full = scipy.fft.irfft2(far * near.conj(), shape)
        rows = ground.shape[0] - template.shape[0] + 1
        cols = ground.shape[1] - template.shape[1] + 1
        out.append(full[:rows, :cols].astype(np.float32))
    return tuple(out)


def cut(raster: NDArray[Value], window: Window) -> NDArray[Value]:
    """The part of a raster in a window, which may hang over the edge: there it is 0."""
    part = np.zeros((window.height, window.width), raster.dtype)
    inside = window.intersection(Window(0, 0, *raster.shape))
    if inside is not None:
        rows, cols = inside.shifted(-window.row, -window.col).slices
        part[rows, cols] = raster[inside.slices]
    return part


def _window_of(shape: shapely.Geometry) -> Window:
    west, north, east, south = shapely.bounds(shape)
    row, col = math.floor(north), math.floor(west)
    return Window(row, col, math.ceil(south) - row, math.ceil(east) - col)
