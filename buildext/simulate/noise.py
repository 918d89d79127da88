"""Noise tied to the ground: the same value at the same place, whoever asks.

`hashed` turns integers into even numbers between 0 and 1 by mixing bits; `Noise` interpolates a
periodic table of such numbers, so that neighbouring places have similar values (value noise, as
Perlin, "An Image Synthesizer", SIGGRAPH 1985, describes lattice noise in its simplest form).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

_SIDE = 256


def hashed(salt: int, *keys: NDArray[Any] | int) -> Singles:
    """Even numbers in [0, 1) that depend on the salt and the keys alone; keys broadcast."""
    mixed: Any = np.uint32(salt & 0xFFFFFFFF)
    with np.errstate(over="ignore"):
        for key in keys:
            mixed = (np.asarray(key).astype(np.uint32) ^ mixed) * np.uint32(0x9E3779B1)
            mixed ^= mixed >> np.uint32(15)
            mixed = mixed * np.uint32(0x85EBCA77)
            mixed ^= mixed >> np.uint32(13)
    even: Singles = (mixed >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
    return even


class Noise:
    """Smooth noise between 0 and 1 on the plane, periodic after 256 steps."""

    def __init__(self, seed: int) -> None:
        steps = np.arange(_SIDE)
        self._table = hashed(seed, steps[:, None], steps[None, :])

    def at(self, x: NDArray[Any], y: NDArray[Any], step: float) -> Singles:
        """Noise at places whose features are about `step` wide; x and y broadcast."""
        u, v = x / step, y / step
        i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
        fu, fv = (u - i).astype(np.float32), (v - j).astype(np.float32)
        fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
        i0, j0 = i % _SIDE, j % _SIDE
        i1, j1 = (i0 + 1) % _SIDE, (j0 + 1) % _SIDE
        t = self._table
        upper = t[j0, i0] * (1 - fu) + t[j0, i1] * fu
        lower = t[j1, i0] * (1 - fu) + t[j1, i1] * fu
        mixed: Singles = (upper * (1 - fv) + lower * fv).astype(np.float32)
        return mixed
