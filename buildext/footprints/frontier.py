"""The frontier: the pixels that a sweep over a scene still needs, and what it decides with them.

Blocks arrive row by row. A pixel can be decided when everything within the halo of it has been
seen, so each block completes a *region* that lags behind it, up and to the left, by the halo. To
decide it takes the *context*: the region and a halo around it. Hence of what was seen only a strip
above the current block row and a strip left of the current block are carried along, twice the halo
wide; and of what was decided only one line of labels, to see who touches whom across it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.footprints.components import Components
from buildext.footprints.polygonize import find_corners
from buildext.footprints.raw import Block
from buildext.footprints.separate import (
    SeparationOptions,
    grow_back,
    label_interior,
    label_leftovers,
)
from buildext.grid.window import Window

_UNNUMBERED = -1


@dataclass(frozen=True, slots=True)
class _Pixels:
    """Seen pixels, three arrays `(H, W)`.

    Attributes:
        building: 255 × building probability where there is building, else 0.
        component: Number of the interior component, `_UNNUMBERED` for interior pixels that have
            none yet, 0 elsewhere.
        invalid: True where the scene has no data.
    """

    building: NDArray[np.uint8]
    component: NDArray[np.int32]
    invalid: NDArray[np.bool_]

    @classmethod
    def blank(cls, height: int, width: int) -> _Pixels:
        """Pixels outside every scene."""
        return cls(
            np.zeros((height, width), np.uint8),
            np.zeros((height, width), np.int32),
            np.ones((height, width), np.bool_),
        )

    def part(self, rows: slice, cols: slice) -> _Pixels:
        """A view of some rows and columns."""
        return _Pixels(
            self.building[rows, cols], self.component[rows, cols], self.invalid[rows, cols]
        )

    def copy_from(self, other: _Pixels) -> None:
        """Take over the values of pixels of the same shape."""
        self.building[...] = other.building
        self.component[...] = other.component
        self.invalid[...] = other.invalid


class Frontier:
    """Sweeps over the blocks of one scene and notes what it finds in `components`.

    Args:
        scene_hw: Height and width of the scene in pixels.
        options: Thresholds and growth.
        components: Where components, links, touches, sums and corners are noted.
    """

    def __init__(
        self, scene_hw: tuple[int, int], options: SeparationOptions, components: Components
    ) -> None:
        self._height, self._width = scene_hw
        self._options = options
        self._components = components
        self.rows_done = 0  # whole block rows
        self._decided = 0  # rows
        self._above = _Pixels.blank(0, self._width)
        self._line = np.zeros(self._width, np.int32)
        self._row: _BlockRow | None = None

    def take(self, block: Block) -> bool:
        """Receive the next block; True where it completes a block row."""
        window = block.window
        if self._row is None:
            self._row = self._begin(window)
        row = self._row
        if (window.row, window.row_stop, window.col) != (self.rows_done, row.stop, row.col):
            raise ValueError(
                f"got block {window}; expected one at col {row.col}, "
                f"rows {self.rows_done} to {row.stop} (blocks in row-major order, no gaps)"
            )
        if window.width < 1 or window.col_stop > self._width:
            raise ValueError(f"got block {window}; expected it within {self._width} columns")
        col_to = window.col_stop
        if col_to < self._width:
            col_to = max(row.decided_col, col_to - self._options.halo_px)
        region = Window(
            self._decided, row.decided_col, row.decide_to - self._decided, col_to - row.decided_col
        )
        self._sweep(row, self._context(row, block), region, window)
        row.col, row.decided_col = window.col_stop, col_to
        return row.col == self._width

    def open_components(self) -> NDArray[np.int32]:
        """After a block row: the components that pixels to come may still join or touch."""
        assert self._row is not None
        if self._row.stop == self._height:
            return np.empty(0, np.int32)
        return np.unique(np.concatenate([self._row.seen.component.reshape(-1), self._row.line]))

    def next_row(self, number: NDArray[np.int32]) -> None:
        """After a block row: go on to the next with new numbers for the components."""
        row = self._row
        assert row is not None
        row.seen.component[...] = number[row.seen.component]
        self._above, self._line = row.seen, number[row.line]
        self.rows_done, self._decided = row.stop, row.decide_to
        self._row = None

    def _begin(self, window: Window) -> _BlockRow:
        if window.height < 1 or window.row_stop > self._height:
            raise ValueError(f"got block {window}; expected it within {self._height} rows")
        halo = self._options.halo_px
        decide_to = self._height
        if window.row_stop < self._height:
            decide_to = max(self._decided, window.row_stop - halo)
        keep_from = max(0, decide_to - halo)
        return _BlockRow(
            stop=window.row_stop,
            decide_to=decide_to,
            col=0,
            decided_col=0,
            left=_Pixels.blank(window.row_stop - self._context_row(), 0),
            left_line=np.zeros(decide_to - self._decided + 1, np.int32),
            seen=_Pixels.blank(window.row_stop - keep_from, self._width),
            line=self._line.copy(),
        )

    def _context_row(self) -> int:
        return self.rows_done - len(self._above.building)

    def _context(self, row: _BlockRow, block: Block) -> _Pixels:
        """The block and the carried pixels around it, in a frame one pixel wide."""
        window, options = block.window, self._options
        seams = options.contact_threshold_u8 is not None
        channels = 2 if seams else 1
        if block.probability.shape[0] < channels or block.probability.shape[1:] != (
            window.height,
            window.width,
        ):
            raise ValueError(
                f"got probabilities of shape {block.probability.shape} for {window}; "
                f"expected at least {channels} channels of that size"
            )
        left = row.left.building.shape[1]
        above = self._above.building.shape[0]
        framed = _Pixels.blank(row.left.building.shape[0] + 2, left + window.width + 2)
        context = framed.part(slice(1, -1), slice(1, -1))
        context.part(slice(None), slice(left)).copy_from(row.left)
        context.part(slice(above), slice(left, None)).copy_from(
            self._above.part(slice(None), slice(window.col, window.col_stop))
        )
        fresh = context.part(slice(above, None), slice(left, None))
        np.logical_not(block.valid, out=fresh.invalid)
        building = (block.probability[0] >= options.threshold_u8) & block.valid
        np.multiply(block.probability[0], building, out=fresh.building)
        if options.contact_threshold_u8 is not None:
            building &= block.probability[1] < options.contact_threshold_u8
        np.multiply(building, np.int32(_UNNUMBERED), out=fresh.component)
        return framed

    def _sweep(self, row: _BlockRow, framed: _Pixels, region: Window, window: Window) -> None:
        """Label the context, carry on what is still needed, decide the region."""
        top = self._context_row()
        start = window.col - row.left.building.shape[1]
        labels, count = label_interior(framed.component != 0)
        number = np.concatenate([np.zeros(1, np.int32), self._components.add(count)])
        self._link(row, framed, labels, number)
        self._carry(row, framed, number, labels, region, window, start)
        local = region.shifted(1 - top, 1 - start)
        number = self._complete(framed, labels, number, local)
        if region.pixels:
            self._measure(framed, labels, number, local)
            self._draw(row, labels, number, local, region)

    def _link(
        self, row: _BlockRow, framed: _Pixels, labels: NDArray[np.int32], number: NDArray[np.int32]
    ) -> None:
        """Link the components of this context to those that carried pixels had before."""
        left = row.left.building.shape[1] + 1
        above = self._above.building.shape[0] + 1
        for part in (np.s_[:, :left], np.s_[:above, left:]):
            before = framed.component[part]
            known = before > 0
            self._components.link(number[labels[part][known]], before[known])

    def _carry(
        self,
        row: _BlockRow,
        framed: _Pixels,
        number: NDArray[np.int32],
        labels: NDArray[np.int32],
        region: Window,
        window: Window,
        start: int,
    ) -> None:
        """Keep the last rows for the next block row and the last columns for the next block."""
        rows = slice(-1 - row.seen.building.shape[0], -1)
        cols = slice(window.col - start + 1, -1)
        below = row.seen.part(slice(None), slice(window.col, window.col_stop))
        below.building[...] = framed.building[rows, cols]
        below.component[...] = number[labels[rows, cols]]
        below.invalid[...] = framed.invalid[rows, cols]
        rows = slice(1, -1)
        cols = slice(max(0, region.col_stop - self._options.halo_px) - start + 1, -1)
        row.left = _Pixels(
            framed.building[rows, cols].copy(),
            number[labels[rows, cols]],
            framed.invalid[rows, cols].copy(),
        )

    def _complete(
        self,
        framed: _Pixels,
        labels: NDArray[np.int32],
        number: NDArray[np.int32],
        local: Window,
    ) -> NDArray[np.int32]:
        """Label seam pixels too; returns the component number of each label."""
        if self._options.contact_threshold_u8 is None:
            return number
        seam = np.flatnonzero((framed.building > 0) & (framed.component == 0))
        left = grow_back(labels, seam, self._options.grow_px)
        # Only in the region itself is it certain that nothing reaches a pixel.
        y, x = np.divmod(left, labels.shape[1])
        left = left[
            (y >= local.row) & (y < local.row_stop) & (x >= local.col) & (x < local.col_stop)
        ]
        added = label_leftovers(labels, left, number.size - 1)
        return np.concatenate([number, self._components.add(added, leftover=True)])

    def _measure(
        self,
        framed: _Pixels,
        labels: NDArray[np.int32],
        number: NDArray[np.int32],
        local: Window,
    ) -> None:
        """Note size, probability and edge of the components in the region."""
        probability, inside = framed.building[local.slices], labels[local.slices]
        building = probability > 0
        owner = inside[building]
        edge = np.zeros(number.size, np.bool_)
        around = framed.invalid[local.padded(1).slices]
        if around.any():
            beside = around[1:-1, :-2] | around[1:-1, 2:] | around[:-2, 1:-1] | around[2:, 1:-1]
            edge[inside[building & beside]] = True
        self._components.measure(
            number,
            np.bincount(owner, minlength=number.size),
            np.bincount(owner, probability[building], minlength=number.size).astype(np.int64),
            edge,
        )

    def _draw(
        self,
        row: _BlockRow,
        labels: NDArray[np.int32],
        number: NDArray[np.int32],
        local: Window,
        region: Window,
    ) -> None:
        """Note touches and corners in the region and on its border with what was decided before."""
        # One line more above and left, decided before; at the scene's end also the frame.
        below = int(region.row_stop == self._height)
        right = int(region.col_stop == self._width)
        view = labels[
            local.row - 1 : local.row_stop + below, local.col - 1 : local.col_stop + right
        ]
        lines = np.concatenate([row.left_line, self._line[region.slices[1]]])
        before, place = np.unique(lines, return_inverse=True)
        place = np.where(lines > 0, place + number.size, 0)
        number = np.concatenate([number, before])
        view[: region.height + 1, 0] = place[: region.height + 1]
        view[0, 1 : region.width + 1] = place[region.height + 1 :]
        row.left_line = number[view[: region.height + 1, region.width]]
        row.line[region.slices[1]] = number[view[region.height, 1 : region.width + 1]]

        beside, under = view[:, :-1] != view[:, 1:], view[:-1] != view[1:]
        for differs, step_yx in ((beside, (0, 1)), (under, (1, 0))):
            y, x = np.divmod(np.flatnonzero(differs), differs.shape[1])
            pair = view[y, x], view[y + step_yx[0], x + step_yx[1]]
            both = (pair[0] > 0) & (pair[1] > 0)
            self._components.touch(number[pair[0][both]], number[pair[1][both]])
        corners = find_corners(beside, under, view, region.row - 1, region.col - 1)
        self._components.outline(corners.owned(number[corners.owner]))


@dataclass(slots=True)
class _BlockRow:
    """The state of a sweep along one block row.

    Attributes:
        stop: First row below the block row.
        decide_to: First row that the block row leaves undecided.
        col: First column of the next block.
        decided_col: First column not decided yet in this block row.
        left: The last columns of the last context.
        left_line: Components in the last decided column, from the row above the region on.
        seen: The last rows of this block row, for the next one.
        line: Components in the last row that this block row decides.
    """

    stop: int
    decide_to: int
    col: int
    decided_col: int
    left: _Pixels
    left_line: NDArray[np.int32]
    seen: _Pixels
    line: NDArray[np.int32]
