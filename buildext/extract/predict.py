"""Prediction: a scene and a layout of tiles in, finished blocks of probability out.

Tiles are read in a thread of their own, a few panels ahead of the network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator

from buildext.engines.base import Engine
from buildext.extract.blend import Layout, TileResult, blend
from buildext.extract.prefetch import prefetch
from buildext.extract.tiles import Mask, Readable, TileImage, read_tiles
from buildext.footprints.raw import Block

PANELS_AHEAD = 2


def predict(
    scene: Readable, layout: Layout, engine: Engine, channels: int, limit: Mask | None = None
) -> Generator[Block, None, None]:
    """Finished blocks of probability, in the pixels of the scene's model grid.

    Args:
        scene: where the pixels come from.
        layout: order and place of the tiles.
        engine: the network.
        channels: number of channels that it predicts.
        limit: see `read_tiles`.
    """
    tiles = prefetch(
        read_tiles(scene, layout, limit), layout.panel_cols * PANELS_AHEAD, "buildext-read"
    )
    with contextlib.closing(tiles):
        yield from blend(layout, channels, _infer(engine, tiles))


def _infer(engine: Engine, tiles: Iterable[TileImage]) -> Iterator[TileResult]:
    """Run the network over tiles; the valid masks travel along as keys."""
    for valid, probability in engine.stream((tile.valid, tile.image) for tile in tiles):
        yield TileResult(probability, valid)
