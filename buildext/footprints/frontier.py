"""The frontier: the pixels that a sweep over a scene still needs, and what it decides with them.

Blocks arrive row by row. A pixel can be decided when everything within the halo of it has been
seen, so each block completes a *region* that lags behind it, up and to the left, by the halo. To
decide it takes the *context*: the region and a halo around it. Hence of what was seen only a strip
above the current block row and a strip left of the current block are carried along, twice the halo
wide; and of what was decided only one line of labels, to see who touches whom across it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class _Strip:
    """Seen pixels that are carried along, three arrays `(H, W)`.

    Attributes:
        building: 255 × building probability where there is building, else 0.
        component: Number of the component of interior pixels, else 0.
        invalid: True where the scene has no data.
    """

    building: NDArray[np.uint8]
    component: NDArray[np.int32]
    invalid: NDArray[np.bool_]

    @classmethod
    def blank(cls, height: int, width: int) -> _Strip:
        """A strip of nothing."""
        return cls(
            np.zeros((height, width), np.uint8),
            np.zeros((height, width), np.int32),
            np.ones((height, width), np.bool_),
        )

    def part(self, cols: slice) -> _Strip:
        """A view of some columns."""
        return _Strip(self.building[:, cols], self.component[:, cols], self.invalid[:, cols])


@dataclass(frozen=True, slots=True)
class _Context:
    """Pixels enough to decide a region, in a frame of one pixel that is no building; `(H, W)` each.

    Attributes:
        row: Scene row of the frame's first pixel.
        col: Scene column of the frame's first pixel.
        building: 255 × building probability where there is building, else 0.
        interior: Building and not seam.
        invalid: True where the scene has no data.
    """

    row: int
    col: int
    building: NDArray[np.uint8]
    interior: NDArray[np.bool_]
    invalid: NDArray[np.bool_]

    @classmethod
    def around(cls, window: Window) -> _Context:
        """A context of the pixels of `window`, with nothing in it."""
        shape = window.height + 2, window.width + 2
        return cls(
            window.row - 1,
            window.col - 1,
            np.zeros(shape, np.uint8),
            np.zeros(shape, np.bool_),
            np.ones(shape, np.bool_),
        )

    def slices(self, window: Window) -> tuple[slice, slice]:
        """Where a window of the scene lies in the arrays."""
        return window.shifted(-self.row, -self.col).slices

    def paste(self, strip: _Strip, row: int, col: int) -> None:
        """Put a strip at a place of the scene."""
        height, width = strip.building.shape
        part = self.slices(Window(row, col, height, width))
        self.building[part] = strip.building
        self.interior[part] = strip.component > 0
        self.invalid[part] = strip.invalid


@dataclass(slots=True)
class _BlockRow:
    """The state of a sweep along one block row.

    Attributes:
        stop: First row below the block row.
        decide_to: First row that the block row leaves undecided.
        left: The last columns of the last context.
        left_line: Components in the last decided column, from the row above the region on.
        col: First column of the next block.
        decided_col: First column not decided yet.
        seen: The last rows of the block row, block by block, for the next one.
        line: Components in the last row that is decided, region by region.
    """

    stop: int
    decide_to: int
    left: _Strip
    left_line: NDArray[np.int32]
    col: int = 0
    decided_col: int = 0
    seen: list[_Strip] = field(default_factory=list)
    line: list[NDArray[np.int32]] = field(default_factory=list)


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
        self._halo = options.halo_px
        self._components = components
        self._decided = 0  # rows
        self._above = _Strip.blank(0, self._width)
        self._line = np.zeros(self._width, np.int32)
        self._row: _BlockRow | None = None
        self.rows_done = 0  # whole block rows

    def take(self, block: Block) -> bool:
        """Receive the next block; True where it completes a block row.

        Raises:
            ValueError: It is not the block that follows, or lacks a channel.
        """
        window = block.window
        row = self._row = self._row or self._begin(window)
        self._check(block, row)
        col_to = window.col_stop
        if col_to < self._width:
            col_to = max(row.decided_col, col_to - self._halo)
        region = Window(
            self._decided, row.decided_col, row.decide_to - self._decided, col_to - row.decided_col
        )
        context = self._context(block, row)
        labels, count = label_interior(context.interior)
        number = np.concatenate([np.zeros(1, np.int32), self._components.add(count)])
        self._link(context, labels, number, window, row)
        self._carry(context, labels, number, window, region, row)
        if region.pixels:
            number = self._label_seam(context, labels, number, region)
            self._decide(context, labels, number, region, row)
        elif not region.height:
            row.line.append(self._line[region.slices[1]])
        row.col, row.decided_col = window.col_stop, col_to
        if row.col < self._width:
            return False
        self._end(row)
        return True

    def open_components(self) -> NDArray[np.int32]:
        """Between block rows: the components that pixels to come may still join or touch."""
        if self.rows_done == self._height:
            return np.empty(0, np.int32)
        return np.unique(np.concatenate([self._above.component.reshape(-1), self._line]))

    def renumber(self, number: NDArray[np.int32]) -> None:
        """Between block rows: take over new numbers of the components."""
        self._above.component[...] = number[self._above.component]
        self._line = number[self._line]

    def _begin(self, window: Window) -> _BlockRow:
        stop, above = window.row_stop, len(self._above.building)
        decide_to = stop if stop == self._height else max(self._decided, stop - self._halo)
        return _BlockRow(
            stop,
            decide_to,
            left=_Strip.blank(stop - self.rows_done + above, 0),
            left_line=np.zeros(decide_to - self._decided + 1, np.int32),
        )

    def _end(self, row: _BlockRow) -> None:
        self._above = _Strip(
            np.concatenate([strip.building for strip in row.seen], axis=1),
            np.concatenate([strip.component for strip in row.seen], axis=1),
            np.concatenate([strip.invalid for strip in row.seen], axis=1),
        )
        self._line = np.concatenate(row.line)
        self.rows_done, self._decided, self._row = row.stop, row.decide_to, None

    def _check(self, block: Block, row: _BlockRow) -> None:
        window, shape = block.window, block.probability.shape
        if (window.row, window.row_stop, window.col) != (self.rows_done, row.stop, row.col):
            raise ValueError(
                f"got block {window}; expected one at col {row.col}, "
                f"rows {self.rows_done} to {row.stop} (blocks in row-major order, no gaps)"
            )
        if not window.pixels or window.row_stop > self._height or window.col_stop > self._width:
            raise ValueError(
                f"got block {window}; expected it inside {self._width}x{self._height}px"
            )
        channels = 1 if self._options.contact_threshold_u8 is None else 2
        if shape[0] < channels or shape[1:] != (window.height, window.width):
            raise ValueError(
                f"got probabilities of shape {shape} for block {window}; "
                f"expected at least {channels} channels of that size"
            )

    def _context(self, block: Block, row: _BlockRow) -> _Context:
        """The block and the carried pixels left of it and above."""
        window, options = block.window, self._options
        height, left = row.left.building.shape
        above = self._above.part(window.slices[1])
        top = window.row_stop - height
        context = _Context.around(Window(top, window.col - left, height, left + window.width))
        context.paste(row.left, top, window.col - left)
        context.paste(above, top, window.col)
        part = context.slices(window)
        np.logical_not(block.valid, out=context.invalid[part])
        building = (block.probability[0] >= options.threshold_u8) & block.valid
        np.multiply(block.probability[0], building, out=context.building[part])
        building &= block.probability[0] >= options.core_u8
        if options.contact_threshold_u8 is not None:
            building &= block.probability[1] < options.contact_threshold_u8
        context.interior[part] = building
        return context

    def _link(
        self,
        context: _Context,
        labels: NDArray[np.int32],
        number: NDArray[np.int32],
        window: Window,
        row: _BlockRow,
    ) -> None:
        """Link the components of this context to those that carried pixels had before."""
        above = self._above.part(window.slices[1])
        for strip, col in ((row.left, row.col - row.left.building.shape[1]), (above, row.col)):
            height, width = strip.building.shape
            part = context.slices(Window(context.row + 1, col, height, width))
            known = strip.component > 0
            self._components.link(number[labels[part][known]], strip.component[known])

    def _carry(
        self,
        context: _Context,
        labels: NDArray[np.int32],
        number: NDArray[np.int32],
        window: Window,
        region: Window,
        row: _BlockRow,
    ) -> None:
        """Keep the last rows for the next block row and the last columns for the next block."""

        def kept(from_row: int, from_col: int) -> _Strip:
            part = context.slices(
                Window(from_row, from_col, window.row_stop - from_row, window.col_stop - from_col)
            )
            return _Strip(
                context.building[part].copy(), number[labels[part]], context.invalid[part].copy()
            )

        row.seen.append(kept(max(0, region.row_stop - self._halo), window.col))
        row.left = kept(context.row + 1, max(0, region.col_stop - self._halo))

    def _label_seam(
        self,
        context: _Context,
        labels: NDArray[np.int32],
        number: NDArray[np.int32],
        region: Window,
    ) -> NDArray[np.int32]:
        """Label the other building pixels too; returns the component number of each label."""
        if not self._options.grows:
            return number
        seam = np.flatnonzero((context.building > 0) & ~context.interior)
        left = grow_back(labels, seam, self._options.grow_px)
        # Only in the region itself is it certain that nothing reaches a pixel.
        rows, cols = context.slices(region)
        y, x = np.divmod(left, labels.shape[1])
        here = (y >= rows.start) & (y < rows.stop) & (x >= cols.start) & (x < cols.stop)
        left = left[here & (context.building.reshape(-1)[left] >= self._options.core_u8)]
        added = label_leftovers(labels, left, number.size - 1)
        return np.concatenate([number, self._components.add(added, leftover=True)])

    def _decide(
        self,
        context: _Context,
        labels: NDArray[np.int32],
        number: NDArray[np.int32],
        region: Window,
        row: _BlockRow,
    ) -> None:
        """Note sums, touches and corners of a region, and of its border with what lies before."""
        height, width = region.height, region.width
        # One line more above and left, decided before; at the scene's end also the frame.
        view = labels[
            context.slices(
                Window(
                    region.row - 1,
                    region.col - 1,
                    height + 1 + (region.row_stop == self._height),
                    width + 1 + (region.col_stop == self._width),
                )
            )
        ]
        lines = np.concatenate([row.left_line, self._line[region.slices[1]]])
        before, place = np.unique(lines, return_inverse=True)
        place = np.where(lines > 0, place + number.size, 0)
        number = np.concatenate([number, before])
        view[: height + 1, 0] = place[: height + 1]
        view[0, 1 : width + 1] = place[height + 1 :]
        row.left_line = number[view[: height + 1, width]]
        row.line.append(number[view[height, 1 : width + 1]])

        beside, below = view[:, :-1] != view[:, 1:], view[:-1] != view[1:]
        for differs, (down, right) in ((beside, (0, 1)), (below, (1, 0))):
            y, x = np.divmod(np.flatnonzero(differs), differs.shape[1])
            one, other = view[y, x], view[y + down, x + right]
            both = (one > 0) & (other > 0)
            self._components.touch(number[one[both]], number[other[both]])
        corners = find_corners(beside, below, view, region.row, region.col)
        self._components.outline(corners.owned(number[corners.owner]))

        # Sums by runs of one label in a row: far fewer than pixels.
        inside = view[1 : height + 1, 1 : width + 1]
        probability = context.building[context.slices(region)]
        begins = beside[1 : height + 1, :width].copy()
        begins[:, 0] = True
        first = np.flatnonzero(begins)
        owner = inside[np.divmod(first, width)]
        length = np.diff(first, append=region.pixels)
        total = np.add.reduceat(probability.reshape(-1), first, dtype=np.int64)
        sure = probability >= self._options.core_u8
        core = np.add.reduceat(sure.reshape(-1), first, dtype=np.int64)
        edge = np.zeros(number.size, np.bool_)
        around = context.invalid[context.slices(region.padded(1))]
        if around.any():
            near = around[1:-1, :-2] | around[1:-1, 2:] | around[:-2, 1:-1] | around[2:, 1:-1]
            edge[inside[near & (probability > 0)]] = True
        self._components.measure(
            number,
            np.bincount(owner, length, number.size).astype(np.int64),
            np.bincount(owner, core, number.size).astype(np.int64),
            np.bincount(owner, total, number.size).astype(np.int64),
            edge,
        )
