"""Pace: how long this machine takes for a tile, so that a run can say beforehand when it will end.

The first long run with a network times a few empty tiles; every long run that ends leaves its own
pace, reading and shaping included, for the next. So a machine that was busy once is not believed to
be slow for ever. A pace changes no result; what could be tuned and would (the tile size, the
precision) is left to the model card and the options, which are recorded.
"""

from __future__ import annotations

import time

import numpy as np

from buildext.engines.base import Engine
from buildext.engines.cache import keep, key_of, recall

# A run of fewer tiles is over before anybody asks, and too short to tell the pace.
WORTH_TIMING = 48
_LEAST_TIMED = 2


def seconds_per_tile(engine: Engine, tile_px: int, network: str) -> float:
    """The pace of the last run, or of a few empty tiles that are run now.

    Args:
        engine: what runs the network.
        tile_px: height and width of the tiles.
        network: what tells the network's weights from others, such as their sha256.
    """
    kept = recall(_key(engine, tile_px, network))
    if kept is not None:
        return float(kept)
    count = max(_LEAST_TIMED, engine.info.tiles_in_flight)
    empty = np.zeros((3, tile_px, tile_px), np.uint8)
    start = time.perf_counter()
    for _ in engine.stream((index, empty) for index in range(count)):
        pass
    seconds = (time.perf_counter() - start) / count
    remember(engine, tile_px, network, seconds)
    return seconds


def remember(engine: Engine, tile_px: int, network: str, seconds: float) -> None:
    """Note the pace of a run that has ended, in seconds a tile."""
    keep(_key(engine, tile_px, network), repr(seconds).encode())


def _key(engine: Engine, tile_px: int, network: str) -> str:
    return key_of("seconds a tile", engine.info, tile_px, network)
