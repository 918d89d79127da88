"""The groups of touching buildings that one block owns, as a pass over the whole mosaic gives them.

`ownership` tells which building pixels are the block's. The rectangle around them, and one pixel
more, is swept by `assemble` like a scene of its own in which there is nothing else: what is not the
block's is shown without building, while validity is shown as it is, since a building touches the
edge where a neighbouring pixel has no data. Pieces of the sweep are the pages, so memory stays that
of a few pages, and of the buildings that are open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.footprints.assemble import assemble
from buildext.footprints.raw import Block, RawGroup
from buildext.footprints.separate import SeparationOptions, label_interior
from buildext.grid.window import Window
from buildext.mosaic.ownership import Page, Pages, find_owned
from buildext.mosaic.raster import MosaicRaster


def owned_groups(
    raster: MosaicRaster, pages: Pages, options: SeparationOptions
) -> Iterator[RawGroup]:
    """The groups that a block owns.

    Args:
        raster: of the mosaic.
        pages: lattice of the block.
        options: thresholds and sizes.

    Yields:
        Groups in pixels of the mosaic's lattice, equal to those that `assemble` would find in one
        pass over the whole mosaic; in an order that depends on the pages.
    """

    def building(window: Window) -> NDArray[np.bool_]:
        return raster.building(window, options.threshold_u8)

    owned = find_owned(pages, building)
    if not owned:
        return
    scene = _around(pages, owned)
    blocks = _blocks(raster, pages, owned, scene, options.threshold_u8)
    corner_xy = np.array((scene.col, scene.row), np.float64)
    for group in assemble(blocks, (scene.height, scene.width), options):
        polygons = np.array([building.polygon for building in group])
        placed = shapely.transform(polygons, lambda xy: xy + corner_xy)
        yield tuple(
            replace(building, polygon=polygon)
            for building, polygon in zip(group, placed.tolist(), strict=True)
        )


def _around(pages: Pages, owned: dict[Page, NDArray[np.bool_]]) -> Window:
    """The owned pages and one pixel around them, as far as the lattice goes."""
    windows = [window for page in owned if (window := pages.window(page)) is not None]
    row, col = min(w.row for w in windows), min(w.col for w in windows)
    row_stop, col_stop = max(w.row_stop for w in windows), max(w.col_stop for w in windows)
    around = Window(row, col, row_stop - row, col_stop - col).padded(1)
    lattice = around.intersection(Window(0, 0, pages.height, pages.width))
    assert lattice is not None
    return lattice


def _blocks(
    raster: MosaicRaster,
    pages: Pages,
    owned: dict[Page, NDArray[np.bool_]],
    scene: Window,
    threshold_u8: int,
) -> Iterator[Block]:
    """The rectangle in pieces, in row-major order, with only what is owned in it."""
    rows = _cuts(scene.row, scene.row_stop, pages.block.row, pages.page_px)
    cols = _cuts(scene.col, scene.col_stop, pages.block.col, pages.page_px)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            window = Window(top, left, bottom - top, right - left)
            row, col = top - pages.block.row, left - pages.block.col
            mine = owned.get((row // pages.page_px, col // pages.page_px))
            probability, valid = raster.probability(window)
            if mine is None:
                probability = np.zeros_like(probability)
            else:
                labels, _ = label_interior((probability[0] >= threshold_u8) & valid)
                probability[0] *= mine[labels]
            yield Block(window.shifted(-scene.row, -scene.col), probability, valid)


def _cuts(start: int, stop: int, origin: int, step: int) -> list[int]:
    """`start`, `stop` and the multiples of `step` from `origin` between them."""
    first = origin + -(-(start + 1 - origin) // step) * step
    return [start, *range(first, stop, step), stop]
