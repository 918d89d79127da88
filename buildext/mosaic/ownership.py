"""Ownership: which groups of touching buildings a block hands out.

Blocks are computed alone, but buildings cross their borders. So that each is handed out once, and
whole, every group of touching buildings has one owner: *the block that holds the group's first
pixel*, in row-major order of the mosaic. Buildings that touch form a 4-connected patch of building
pixels, and nothing outside the patch has a say in what becomes of it (seams, growth, holes and
walls all stay inside). So it is enough to know the patch.

A block looks for its patches in *pages*, squares of pixels. It labels the pages that cover it,
links labels across the sides of pages, and reads one more page wherever a patch that may be its own
leaves what was read. Two facts keep that short:

- a patch with a known pixel that comes before the block's own pixels is somebody else's, whatever
  else belongs to it, and is followed no further;
- so of what lies above the block, only the row right above it is ever read: a pixel there settles
  the matter. That row is a row of pages one pixel high.

What is found does not depend on the size of pages, nor on that of blocks but for who the owner is.
Of a page only the labels along sides with an unread neighbour are kept, so a patch may be as large
as the mosaic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.footprints.separate import label_interior, linked
from buildext.grid.window import Window

Page = tuple[int, int]
"""Row and column of a page on the lattice; columns left of the block are negative."""

# A page of this side is labelled within a few megabytes.
PAGE_PX = 512
_UP, _DOWN, _LEFT, _RIGHT = _SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))
_Line = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pages:
    """The lattice of pages of one block; it begins at the block's upper left corner.

    Attributes:
        block: the block's window on the mosaic's lattice.
        height: of the lattice in pixels.
        width: of the lattice in pixels.
        page_px: side of a page.
    """

    block: Window
    height: int
    width: int
    page_px: int

    def window(self, page: Page) -> Window | None:
        """The pixels of a page; None where it lies beyond the lattice or too far up."""
        row, col = page
        if row < -1:
            return None
        size = self.page_px
        top = self.block.row + row * size
        whole = Window(top, self.block.col + col * size, size, size)
        if row < 0:
            whole = Window(self.block.row - 1, whole.col, 1, size)
        return whole.intersection(Window(0, 0, self.height, self.width))

    def of_block(self) -> Iterator[Page]:
        """The pages that cover the block, in row-major order."""
        for row in range(-(-self.block.height // self.page_px)):
            for col in range(-(-self.block.width // self.page_px)):
                yield row, col


def find_owned(
    pages: Pages, building: Callable[[Window], NDArray[np.bool_]]
) -> dict[Page, NDArray[np.bool_]]:
    """Find the patches of building pixels that a block owns.

    Args:
        pages: lattice of the block.
        building: building pixels `(H, W)` of a window that lies inside the mosaic.

    Returns:
        For each page that holds pixels of them, in row-major order: `(N + 1,)`, whether a patch is
        owned by its label in that page (see `label_interior`; label 0, no building, is not).
    """
    search = _Search(pages)
    wanted = set(pages.of_block())
    while wanted:
        for page in sorted(wanted):
            window = pages.window(page)
            assert window is not None
            search.add(page, window, building(window))
        owned = search.owned()
        wanted = search.beyond(owned)
        # The row above settles much, and is read at the smallest price.
        wanted = {page for page in wanted if page[0] < 0} or wanted
    return search.by_page(owned)


class _Search:
    """Patches as far as they are known; number 0 is the background."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._numbers: dict[Page, tuple[int, int]] = {}
        self._first: list[NDArray[np.int64]] = [np.full(1, -1)]
        self._count = 1
        self._pairs: list[NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
        self._open: dict[tuple[Page, Page], _Line] = {}

    def add(self, page: Page, window: Window, building: NDArray[np.bool_]) -> None:
        """Label a page and link it with its neighbours."""
        labels, count = label_interior(building)
        self._numbers[page] = self._count, self._count + count
        places = np.flatnonzero(labels)[::-1]
        row, col = np.divmod(places, window.width)
        first = np.empty(count, np.int64)
        # Of several values for one label the last one stays: the place that comes first.
        first[labels.reshape(-1)[places] - 1] = (row + window.row) * self._pages.width + (
            col + window.col
        )
        self._first.append(first)
        lines = {_UP: labels[0], _DOWN: labels[-1], _LEFT: labels[:, 0], _RIGHT: labels[:, -1]}
        for side, line in lines.items():
            numbers = np.where(line > 0, line + (self._count - 1), 0).astype(np.int64)
            neighbour = page[0] + side[0], page[1] + side[1]
            if neighbour in self._numbers:
                other = self._open.pop((neighbour, page))
                both = (numbers > 0) & (other > 0)
                pairs = np.stack([numbers[both], other[both]], axis=1)
                self._pairs.append(np.unique(pairs, axis=0))
            elif self._pages.window(neighbour) is not None:
                self._open[page, neighbour] = numbers
        self._count += count

    def owned(self) -> NDArray[np.bool_]:
        """Of each number, whether its patch begins in the block as far as is known."""
        groups, group = linked(self._count, np.concatenate(self._pairs))
        first = np.full(groups, self._pages.height * self._pages.width, np.int64)
        np.minimum.at(first, group, np.concatenate(self._first))
        row, col = np.divmod(first, self._pages.width)
        block = self._pages.block
        inside = (row >= block.row) & (row < block.row_stop)
        inside &= (col >= block.col) & (col < block.col_stop) & (first >= 0)
        result: NDArray[np.bool_] = inside[group]
        return result

    def beyond(self, owned: NDArray[np.bool_]) -> set[Page]:
        """Unread pages that owned patches reach."""
        return {neighbour for (_, neighbour), numbers in self._open.items() if owned[numbers].any()}

    def by_page(self, owned: NDArray[np.bool_]) -> dict[Page, NDArray[np.bool_]]:
        """The answer, page by page."""
        found = {}
        for page, (start, stop) in sorted(self._numbers.items()):
            if owned[start:stop].any():
                found[page] = np.r_[False, owned[start:stop]]
        return found
