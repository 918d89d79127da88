"""Tile grids: how a scene is cut for a network, and which pixels each tile decides.

Tiles are squares of `tile_px` on a fixed lattice that starts at the scene's upper left corner and
advances by `stride_px = tile_px - overlap_px`. The last tile of a row or column hangs over the edge
rather than being moved inwards: so a tile's place does not depend on the scene's size, and any part
of a scene, computed alone, gives the same numbers as in the whole.

An overlap is at most half a tile, hence no pixel is covered by more than two tiles along an axis.
The *cell* of a tile is the stride-sized square at its upper left corner: all tiles that touch a
cell are the tile itself and its neighbours to the left, above, and above left. In row-major order
a cell is therefore final as soon as its own tile has been added.

    cells      |--- 0 ---|--- 1 ---|--- 2 ---|
    tile 0     |=============|
    tile 1               |=============|
    tile 2                         |=============|   hangs over the edge
"""

from __future__ import annotations

from dataclasses import dataclass

from buildext.grid.window import Window


def _count(length_px: int, stride_px: int, overlap_px: int) -> int:
    """Tiles needed so that the last one reaches `length_px`."""
    return max(1, -(-(length_px - overlap_px) // stride_px))


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The tiles over a raster of `height` × `width` pixels.

    Raises:
        ValueError: a size is not positive or the overlap is larger than half a tile.
    """

    height: int
    width: int
    tile_px: int
    overlap_px: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.tile_px < 1:
            raise ValueError(f"got a grid of {self}; expected positive sizes")
        if not 0 <= self.overlap_px <= self.tile_px // 2:
            raise ValueError(
                f"got an overlap of {self.overlap_px} px; expected 0 to {self.tile_px // 2} px, "
                f"half of the tile's {self.tile_px} px"
            )

    @property
    def stride_px(self) -> int:
        """Distance between neighbouring tiles."""
        return self.tile_px - self.overlap_px

    @property
    def rows(self) -> int:
        """Number of tile rows."""
        return _count(self.height, self.stride_px, self.overlap_px)

    @property
    def cols(self) -> int:
        """Number of tile columns."""
        return _count(self.width, self.stride_px, self.overlap_px)

    def tile(self, row: int, col: int) -> Window:
        """The window of a tile; it may hang over the lower and right edge."""
        return Window(row * self.stride_px, col * self.stride_px, self.tile_px, self.tile_px)

    def cell(self, row: int, col: int) -> Window:
        """The pixels that are final once tile (`row`, `col`) is added in row-major order.

        Cells partition the raster: the last ones reach to its edge.
        """
        top, left = row * self.stride_px, col * self.stride_px
        bottom = self.height if row == self.rows - 1 else top + self.stride_px
        right = self.width if col == self.cols - 1 else left + self.stride_px
        return Window(top, left, bottom - top, right - left)

    def __str__(self) -> str:
        return (
            f"{self.cols}x{self.rows} tiles of {self.tile_px}px, overlap {self.overlap_px}px, "
            f"over {self.width}x{self.height}px"
        )
