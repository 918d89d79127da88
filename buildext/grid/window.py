"""Windows: rectangles of pixels.

A window is a half-open rectangle of whole pixels in some raster, named by its upper left pixel
(`row`, `col`) and its size (`height`, `width`). Rows grow downwards, columns to the right. A window
may lie partly or wholly outside the raster it speaks of (a tile hangs over the scene's edge).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open rectangle of pixels; all numbers in pixels."""

    row: int
    col: int
    height: int
    width: int

    @property
    def row_stop(self) -> int:
        """First row below the window."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """First column right of the window."""
        return self.col + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices into an array of the raster."""
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)

    @property
    def pixels(self) -> int:
        """Number of pixels in the window."""
        return self.height * self.width

    def shifted(self, rows: int, cols: int) -> Window:
        """The window moved down by `rows` and right by `cols`."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def padded(self, margin: int) -> Window:
        """The window grown by `margin` pixels on each side."""
        return Window(
            self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin
        )

    def intersection(self, other: Window) -> Window | None:
        """The part that both windows cover, or None where they do not meet."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.row_stop, other.row_stop) - row
        width = min(self.col_stop, other.col_stop) - col
        return Window(row, col, height, width) if height > 0 and width > 0 else None

    def __str__(self) -> str:
        return f"{self.width}x{self.height}px at col {self.col}, row {self.row}"
