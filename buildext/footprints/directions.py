"""Directions: the few bearings that the walls of a building follow.

A *frame* is a pair of perpendicular directions, named by one angle θ in [0, π/2): its walls run
along θ and θ + 90°. Nearly all buildings have one frame; a building with a turned wing has two.

Frames are found in a histogram of edge directions, folded to a quarter turn and weighted by length,
then refined: once every wall has been given a direction of its frame, the angle that fits all of
them best in the least-squares sense is known in closed form (`fit_frames`).

Angles are radians in the grid plane, from the x axis towards the y axis (which points down).
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
AngleT = TypeVar("AngleT", float, FloatArray)

QUARTER = math.pi / 2
_BINS = 90
# Three running means over this many bins to either side: nearly a Gaussian of 3.5 degrees.
_SMOOTHING_BINS = 3
_PEAK_HALF_WIDTH = math.radians(8)
# A further frame holds at least this share of the walls and differs by at least this angle.
_LEAST_SHARE = 0.2
_LEAST_APART = math.radians(12)


def find_frames(
    edges_xy: FloatArray, owner: IntArray, buildings: int, *, most: int = 1
) -> list[list[float]]:
    """The strongest frames of each building, the strongest first.

    Args:
        edges_xy: float64 `(N, 2)`, edges as vectors.
        owner: int64 `(N,)`, the building of each edge.
        buildings: number of buildings.
        most: how many frames to return at most for one building.
    """
    lengths = np.hypot(edges_xy[:, 0], edges_xy[:, 1])
    angles = np.arctan2(edges_xy[:, 1], edges_xy[:, 0]) % QUARTER
    # Long walls say more than many short ones: noise and rounded corners are short.
    weights = lengths * lengths
    cells = owner * _BINS + (angles * (_BINS / QUARTER)).astype(np.int64) % _BINS
    whole = np.maximum(np.bincount(owner, lengths, buildings), 1e-12)
    left = np.ones(len(angles), dtype=bool)
    frames: list[list[float]] = [[] for _ in range(buildings)]
    for number in range(most):
        histogram = np.bincount(cells[left], weights[left], buildings * _BINS)
        smooth = _smoothed(histogram.reshape(buildings, _BINS).astype(np.float64))
        # Lengths differ in their last bits with their place in an array; a tie must not.
        peak = (np.round(smooth, 6).argmax(axis=1) + 0.5) * (QUARTER / _BINS)
        shift = signed(angles - peak[owner])
        near = left & (np.abs(shift) < _PEAK_HALF_WIDTH)
        weight = np.bincount(owner[near], weights[near], buildings)
        moved = np.bincount(owner[near], (shift * weights)[near], buildings)
        found = (peak + moved / np.maximum(weight, 1e-12)) % QUARTER
        share = np.bincount(owner[near], lengths[near], buildings) / whole
        good = share >= _LEAST_SHARE if number else np.ones(buildings, dtype=bool)
        for building in np.flatnonzero(good).tolist():
            frames[building].append(round(float(found[building]), 9))
        left &= good[owner] & (np.abs(signed(angles - found[owner])) > _LEAST_APART)
    return frames


def fit_frames(
    frame: IntArray, turns: FloatArray, xx: FloatArray, xy: FloatArray, yy: FloatArray
) -> FloatArray:
    """The frames that fit their walls best.

    Every wall is a cloud of boundary points with a scatter matrix about its own mean. Turned back
    by the wall's angle within the frame, all clouds of a frame should lie along one line; the sum
    of squared distances is least along the main axis of the summed scatter.

    Args:
        frame: int64 `(N,)`, the frame that each wall follows.
        turns: float64 `(N,)`, the angle of each wall within its frame.
        xx: float64 `(N,)`, the scatter of each wall, with `xy` and `yy`.
        xy: see `xx`.
        yy: see `xx`.

    Returns:
        Angles in [0, π/2), by number of the frame.
    """
    # A rotation by -t turns the double-angle vector (xx - yy, 2 xy) by -2t.
    cos, sin = np.cos(2 * turns), np.sin(2 * turns)
    along = np.bincount(frame, (xx - yy) * cos + 2 * xy * sin)
    across = np.bincount(frame, 2 * xy * cos - (xx - yy) * sin)
    angles: FloatArray = (0.5 * np.arctan2(across, along)) % QUARTER
    return angles


def signed(difference: AngleT) -> AngleT:
    """An angle between frames, in [-π/4, π/4)."""
    return (difference + QUARTER / 2) % QUARTER - QUARTER / 2


def _smoothed(histogram: FloatArray) -> FloatArray:
    for _ in range(3):
        histogram = sum(
            (
                np.roll(histogram, shift, axis=1)
                for shift in range(-_SMOOTHING_BINS, _SMOOTHING_BINS + 1)
            ),
            start=np.zeros(histogram.shape),
        )
    return histogram
