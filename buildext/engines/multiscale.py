"""A second, coarser look at every tile.

What a network takes a bright yard or a ploughed field for depends on how large it looks. The mean
of the probabilities at the tile's own resolution and of those at a coarser one makes fewer such
errors, above all in places unlike those of the training (`docs/experiments/0013-two-scales.md`).

Both looks see the same ground, so tiles, blending and everything behind stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import tee

import numpy as np

from buildext.engines.base import Engine, FloatArray, Key, UInt8Array
from buildext.engines.resize import resample, resampling


class MultiScaleEngine:
    """The mean of two engines, one of which sees each tile smaller.

    Args:
        fine: takes tiles of `tile_px`.
        coarse: the same network for tiles of `coarse_px`.
        tile_px, coarse_px: sides of the tiles.
    """

    def __init__(self, fine: Engine, coarse: Engine, tile_px: int, coarse_px: int) -> None:
        self._fine, self._coarse = fine, coarse
        self._shrink = resampling(tile_px, coarse_px)
        self._enlarge = resampling(coarse_px, tile_px)
        both = fine.info.tiles_in_flight + coarse.info.tiles_in_flight
        self.info = replace(fine.info, tiles_in_flight=both, second_tile_px=coarse_px)

    def infer(self, batch: UInt8Array) -> FloatArray:
        """Probabilities `(N, K, H, W)` float32 of a batch `(N, C, H, W)` uint8."""
        seen = self._coarse.infer(np.stack([self._smaller(image) for image in batch]))
        mean = self._fine.infer(batch)
        return np.stack([self._mean(one, other) for one, other in zip(mean, seen, strict=True)])

    def stream(
        self, jobs: Iterator[tuple[Key, UInt8Array | None]]
    ) -> Iterator[tuple[Key, FloatArray | None]]:
        """See `Engine.stream`."""
        own, again = tee(jobs)
        smaller = ((key, None if image is None else self._smaller(image)) for key, image in again)
        looks = zip(self._fine.stream(own), self._coarse.stream(smaller), strict=True)
        for (key, fine), (_, coarse) in looks:
            yield key, None if fine is None or coarse is None else self._mean(fine, coarse)

    def _smaller(self, image: UInt8Array) -> UInt8Array:
        return np.rint(resample(self._shrink, image)).astype(np.uint8)

    def _mean(self, fine: FloatArray, coarse: FloatArray) -> FloatArray:
        mean: FloatArray = (fine + resample(self._enlarge, coarse)) * np.float32(0.5)
        return mean
