"""The mosaic's rasters read as one: any window of the lattice, from the files of the blocks.

Where a block has no file there is no data. Which blocks were looked at is remembered, whether they
had a file or not: what was made of a window is out of date once one of them changes.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from buildext.errors import SceneError
from buildext.grid.window import Window
from buildext.mosaic.grid import BlockId, MosaicGrid, probability_path, source_path

# A block and its eight neighbours, both rasters of each.
_OPEN_FILES = 18


class MosaicRaster:
    """Reads probability, validity and sources of a mosaic.

    Use it as a context manager: it holds files open.

    Args:
        out: folder of the mosaic.
        grid: its lattice.

    Attributes:
        seen: the blocks that were looked at.
    """

    def __init__(self, out: Path, grid: MosaicGrid) -> None:
        self._out = out
        self._grid = grid
        self._open: OrderedDict[Path, DatasetReader | None] = OrderedDict()
        self.seen: set[BlockId] = set()

    def __enter__(self) -> MosaicRaster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._open:
            self._close_oldest()

    def probability(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """255 × probability `(K, H, W)`, 0 where there is no data, and `(H, W)` where there is.

        Raises:
            SceneError: a block's file is damaged.
        """
        count = len(self._grid.channels)
        return self._probability(window, list(range(1, count + 1)))

    def building(self, window: Window, threshold_u8: int) -> NDArray[np.bool_]:
        """Whether there is building, `(H, W)`: valid, and of at least this probability.

        Raises:
            SceneError: a block's file is damaged.
        """
        probability, valid = self._probability(window, [1])
        building: NDArray[np.bool_] = probability[0] >= threshold_u8
        building &= valid
        return building

    def sources(self, window: Window) -> NDArray[np.uint16]:
        """Number of the file that each pixel comes from, `(H, W)`; 0 where there is no data.

        Raises:
            SceneError: a block's file is damaged.
        """
        numbers = np.zeros((window.height, window.width), np.uint16)
        for block, place, part in self._parts(window):
            with self._reading(source_path(self._out, block)) as dataset:
                if dataset is not None:
                    numbers[place] = dataset.read(1, window=part)
        return numbers

    def _probability(
        self, window: Window, bands: list[int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        probability = np.zeros((len(bands), window.height, window.width), np.uint8)
        valid = np.zeros((window.height, window.width), np.bool_)
        for block, place, part in self._parts(window):
            with self._reading(probability_path(self._out, block)) as dataset:
                if dataset is not None:
                    probability[(slice(None), *place)] = dataset.read(bands, window=part)
                    valid[place] = dataset.read_masks(1, window=part) > 0
        return probability, valid

    def _parts(self, window: Window) -> Iterator[tuple[BlockId, tuple[slice, slice], RasterWindow]]:
        """The blocks under a window, where they lie in its array, and what to read of them."""
        for block in self._grid.blocks_of(window):
            whole = self._grid.window(block)
            common = whole.intersection(window)
            assert common is not None
            self.seen.add(block)
            place = common.shifted(-window.row, -window.col).slices
            part = common.shifted(-whole.row, -whole.col)
            yield block, place, RasterWindow(part.col, part.row, part.width, part.height)

    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[DatasetReader | None]:
        """The open file, or None where there is none; errors inside are those of reading it."""
        try:
            if path not in self._open:
                if len(self._open) >= _OPEN_FILES:
                    self._close_oldest()
                self._open[path] = rasterio.open(path) if path.exists() else None
            self._open.move_to_end(path)
            yield self._open[path]
        except rasterio.errors.RasterioIOError as error:
            raise SceneError(
                f"got a damaged raster {path}: {error}", hint="compute the block again"
            ) from error

    def _close_oldest(self) -> None:
        _, dataset = self._open.popitem(last=False)
        if dataset is not None:
            dataset.close()
