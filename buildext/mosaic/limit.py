"""The area of interest, as each block sees it.

A block that lies inside the area is a block like any other; one that lies outside does not exist.
For those that the area's border crosses there is a *limit*: one bit for each pixel of the block,
set where the pixel's centre lies in the area. Pixels outside are still seen by the network, as
context, but count as pixels without data.

So the probability of a pixel inside does not depend on where the area ends, and what does depend on
it is told by the bits of the block alone. They are part of its key: when the area changes, the
blocks are done again in which the bits change, whatever happens elsewhere.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import rasterize

from buildext.errors import InputError
from buildext.grid.window import Window
from buildext.mosaic.grid import BlockId, MosaicGrid

# Rows of a block that are drawn at a time.
_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Limit:
    """The pixels of a block that lie in the area; plain and small, since it travels.

    Attributes:
        window: of the block, on the lattice.
        inside: the smallest window that holds all pixels in the area.
        bits: rows of the block, each of whole bytes, deflated.
        digest: a short hash of the bits.
    """

    window: Window
    inside: Window
    bits: bytes
    digest: str

    @classmethod
    def of(cls, window: Window, packed: npt.NDArray[np.uint8]) -> Limit:
        """The limit that rows of packed bits `(H, ⌈W/8⌉)` tell, of which some are set."""
        rows = np.flatnonzero(packed.any(axis=1))
        cols = np.flatnonzero(np.unpackbits(np.bitwise_or.reduce(packed, axis=0)))
        row, col = int(rows[0]), int(cols[0])
        height, width = int(rows[-1]) + 1 - row, int(cols[-1]) + 1 - col
        inside = Window(window.row + row, window.col + col, height, width)
        raw = packed.tobytes()
        return cls(window, inside, zlib.compress(raw), hashlib.sha256(raw).hexdigest()[:24])


class LimitMask:
    """A limit opened: tells of any window which of its pixels lie in block and area."""

    def __init__(self, limit: Limit) -> None:
        self._window = limit.window
        packed = np.frombuffer(zlib.decompress(limit.bits), np.uint8)
        self._rows = packed.reshape(limit.window.height, -1)

    def __call__(self, window: Window) -> npt.NDArray[np.bool_]:
        """Mask `(H, W)` of a window of the lattice."""
        mask = np.zeros((window.height, window.width), np.bool_)
        part = window.intersection(self._window)
        if part is not None:
            here = part.shifted(-self._window.row, -self._window.col)
            first = here.col // 8
            packed = self._rows[here.row : here.row_stop, first : -(-here.col_stop // 8)]
            bits = np.unpackbits(packed, axis=1)[:, here.col - 8 * first :]
            mask[part.shifted(-window.row, -window.col).slices] = bits[:, : here.width]
        return mask


def find_limits(
    polygons: npt.NDArray[np.object_], grid: MosaicGrid, blocks: Iterable[BlockId]
) -> dict[BlockId, Limit | None]:
    """The blocks that an area touches, in their order, each with its limit.

    Args:
        polygons: the area, in the mosaic's CRS.
        grid: the lattice.
        blocks: to choose from.

    Returns:
        None for a block that lies inside; blocks without a pixel in the area are not there.

    Raises:
        InputError: the area has no place in the mosaic's CRS.
    """
    if not np.isfinite(shapely.total_bounds(polygons)).all():
        raise InputError(
            "got an area of interest that cannot be carried into the CRS of the mosaic",
            hint="cut the area to the part of the world that the files show",
        )
    # An outline that crosses itself can be drawn, but not be asked what it covers.
    sound = shapely.make_valid(polygons)
    tree = shapely.STRtree(sound)
    found: dict[BlockId, Limit | None] = {}
    for block in blocks:
        window = grid.window(block)
        transform = grid.transform_of(window)
        corners = [transform @ (x, y) for x in (0, window.width) for y in (0, window.height)]
        box = shapely.box(*np.min(corners, axis=0), *np.max(corners, axis=0))
        near = tree.query(box, predicate="intersects")
        if not len(near):
            continue
        if shapely.covers(sound[near], box).any():
            found[block] = None
            continue
        packed = _draw(polygons[near], grid, window)
        filled = np.packbits(np.ones(window.width, np.uint8))
        if (packed == filled).all():
            found[block] = None
        elif packed.any():
            found[block] = Limit.of(window, packed)
    return found


def _draw(
    polygons: npt.NDArray[np.object_], grid: MosaicGrid, window: Window
) -> npt.NDArray[np.uint8]:
    """Bits that are set where the centre of a pixel lies in a polygon, `(H, ⌈W/8⌉)`."""
    strips = []
    for row in range(window.row, window.row_stop, _ROWS):
        strip = Window(row, window.col, min(_ROWS, window.row_stop - row), window.width)
        shape, transform = (strip.height, strip.width), grid.transform_of(strip)
        strips.append(np.packbits(rasterize(polygons, shape, transform=transform), axis=1))
    return np.concatenate(strips)
