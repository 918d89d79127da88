"""Directions: the few bearings that the walls of a building follow.

A *frame* is a pair of perpendicular directions, named by one angle θ in [0, π/2): its walls run
along θ and θ + 90°. Nearly all buildings have one frame; a building with a turned wing has two.

Frames are found in a histogram of edge directions, folded to a quarter turn and weighted by length,
then refined: once every wall has been given a direction of its frame, the angle that fits all of
them best in the least-squares sense is known in closed form (`fit_frame`).

Angles are radians in the grid plane, from the x axis towards the y axis (which points down).
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
AngleT = TypeVar("AngleT", float, FloatArray)

QUARTER = math.pi / 2
_BINS = 90
_SMOOTHING_BINS = 3.0
_PEAK_HALF_WIDTH = math.radians(8)

_offsets = np.abs(np.arange(_BINS)[:, None] - np.arange(_BINS)[None, :])
_offsets = np.minimum(_offsets, _BINS - _offsets)
_SMOOTHING = np.exp(-0.5 * (_offsets / _SMOOTHING_BINS) ** 2)


def find_frames(
    edges_xy: FloatArray, *, most: int = 1, share: float = 0.2, apart: float = math.radians(12)
) -> list[float]:
    """The strongest frames of a building, the strongest first.

    Args:
        edges_xy: float64 `(N, 2)`, the edges as vectors.
        most: how many frames to return at most.
        share: a further frame must hold at least this share of the total edge length.
        apart: a further frame must differ by at least this angle, in radians.
    """
    lengths = np.hypot(edges_xy[:, 0], edges_xy[:, 1])
    angles = np.arctan2(edges_xy[:, 1], edges_xy[:, 0]) % QUARTER
    # Long walls say more than many short ones: noise and rounded corners are short.
    weights = lengths**2
    bins = (angles * (_BINS / QUARTER)).astype(np.int64) % _BINS
    left = np.ones(len(angles), dtype=bool)
    frames: list[float] = []
    while len(frames) < most and left.any():
        histogram = _SMOOTHING @ np.bincount(bins[left], weights[left], _BINS)
        peak = (int(histogram.argmax()) + 0.5) * (QUARTER / _BINS)
        near = left & (angle_between(angles, peak) < _PEAK_HALF_WIDTH)
        if frames and lengths[near].sum() < share * lengths.sum():
            break
        shift = signed(angles[near] - peak)
        frames.append(float(peak + (shift * weights[near]).sum() / weights[near].sum()) % QUARTER)
        left &= angle_between(angles, frames[-1]) > apart
    return frames


def angle_between(a: FloatArray, b: float) -> FloatArray:
    """Smallest angle between frames, in [0, π/4]."""
    return np.abs(signed(a - b))


def fit_frame(scatters: FloatArray, turns: FloatArray) -> float:
    """The frame that fits a set of walls best.

    Every wall is a cloud of boundary points with a 2x2 scatter matrix about its own mean. Turned
    back by the wall's angle within the frame, all clouds should lie along the x axis; the sum of
    squared distances from that axis is least along the main axis of the summed scatter.

    Args:
        scatters: float64 `(N, 3)`, the sums of squares xx, xy, yy of each wall.
        turns: float64 `(N,)`, the angle of each wall within the frame.
    """
    xx, xy, yy = scatters[:, 0], scatters[:, 1], scatters[:, 2]
    # A rotation by -t turns the double-angle vector (xx - yy, 2 xy) by -2t.
    cos, sin = np.cos(2 * turns), np.sin(2 * turns)
    along = ((xx - yy) * cos + 2 * xy * sin).sum()
    across = (2 * xy * cos - (xx - yy) * sin).sum()
    return (0.5 * math.atan2(float(across), float(along))) % QUARTER


def signed(difference: AngleT) -> AngleT:
    """An angle between frames, in [-π/4, π/4)."""
    return (difference + QUARTER / 2) % QUARTER - QUARTER / 2
