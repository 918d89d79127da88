"""The plan: which blocks there are, and which files each of them reads.

A block is there where a file lies. It reads every file within reach: the tiles of the cells before
it hang into the block, and what its own tiles see as context lies up to an overlap behind it.

Files are laid on each other in order of precedence. Neighbours in that order which share a grid, a
pixel type and a stretch form a *run*, are read together at their native resolution and resampled
once, so no seam is left between the sheets of one flight. Runs are those of the whole mosaic: a
file's run does not depend on the block that reads it, and a pixel has one value in all of them.

With an area of interest, blocks outside it do not exist, and those on its border have a `Limit`.

The *key* of a block is a hash of everything that its probability depends on. It is what the ledger
compares: a block whose key is unchanged is not done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from buildext.errors import NoValidPixelError, SceneError
from buildext.extract.blend import CellRange
from buildext.extract.options import ExtractOptions
from buildext.grid.window import Window
from buildext.models.card import Card
from buildext.mosaic.block import BlockJob, LayerPlan
from buildext.mosaic.grid import BlockId, MosaicGrid
from buildext.mosaic.lattice import Base, Lattice
from buildext.mosaic.limit import Limit, find_limits
from buildext.mosaic.survey import Surveyed
from buildext.scene.placing import place_one
from buildext.scene.plane import Placed
from buildext.scene.scaling import Stretch

# Interpolation looks one pixel over the edge of what it makes; some for rounding.
_SLACK_PX = 4


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file with its place on the lattice.

    Attributes:
        number: its value in the rasters of sources.
        fingerprint: see `survey`.
        group: its sensor group.
        run: number of its run in the order of precedence.
        native: it is read on the base grid, else it is warped onto the model grid.
        placed: how and where it is read, on the grid that `native` says.
        window: pixels of the lattice that it covers.
    """

    number: int
    fingerprint: str
    group: str
    run: int
    native: bool
    placed: Placed
    window: Window

    @property
    def name(self) -> str:
        """Path or remote name."""
        return self.placed.source.name


@dataclass(frozen=True, slots=True)
class Plan:
    """A mosaic as it is to be done.

    Attributes:
        lattice: grid and base.
        files: in order of precedence.
        stretches: of each sensor group.
        blocks: for each block the places in `files` of what it reads, in order; row by row.
        limits: of the blocks that the border of the area of interest crosses.
        common: what every block's probability depends on, as plain values.
        extract: options of tiles, engine and reading.
    """

    lattice: Lattice
    files: tuple[PlannedFile, ...]
    stretches: Mapping[str, Stretch]
    blocks: Mapping[BlockId, tuple[int, ...]]
    limits: Mapping[BlockId, Limit]
    common: Mapping[str, Any]
    extract: ExtractOptions

    @property
    def grid(self) -> MosaicGrid:
        """The grid of the mosaic."""
        return self.lattice.grid

    def of_block(self, block: BlockId, without: frozenset[int]) -> list[PlannedFile]:
        """The files that a block reads, but for those of these numbers."""
        files = (self.files[i] for i in self.blocks.get(block, ()))
        return [file for file in files if file.number not in without]

    def reading(self, number: int) -> list[BlockId]:
        """The blocks that read a file."""
        place = next(i for i, file in enumerate(self.files) if file.number == number)
        return [block for block, places in self.blocks.items() if place in places]

    def cells(self, block: BlockId, files: Sequence[PlannedFile]) -> CellRange | None:
        """The cells of a block on which any of the files lies, and the area of interest."""
        limit = self.limits.get(block)
        within = self.grid.window(block) if limit is None else limit.inside
        return covered_cells(self.grid, within, [file.window for file in files])

    def key(self, block: BlockId, without: frozenset[int]) -> str:
        """Hash of everything that the probability of a block depends on."""
        files = self.of_block(block, without)
        limit = self.limits.get(block)
        return digest(
            {
                **self.common,
                **({} if limit is None else {"area": limit.digest}),
                "block": block.name,
                "files": [self._file_key(file) for file in files],
                # Runs count from wherever: what matters is where one ends.
                "runs": [len(list(run)) for _, run in groupby(files, key=lambda f: f.run)],
            }
        )

    def job(self, out: Path, block: BlockId, without: frozenset[int], threads: int) -> BlockJob:
        """What a worker needs to compute a block."""
        files = self.of_block(block, without)
        layers = []
        for _, run in groupby(files, key=lambda file: file.run):
            members = list(run)
            first = members[0]
            layers.append(
                LayerPlan(
                    native=first.native,
                    stretch=self.stretches[first.group],
                    placed=tuple(file.placed for file in members),
                    numbers=tuple(file.number for file in members),
                )
            )
        return BlockJob(
            out=out,
            lattice=self.lattice,
            block=block,
            cells=self.cells(block, files),
            layers=tuple(layers),
            options=self.extract,
            threads=self.extract.threads or threads,
            model_files=self.common["model"]["files"],
            key=self.key(block, without),
            limit=self.limits.get(block),
        )

    def _file_key(self, file: PlannedFile) -> list[Any]:
        resampling = file.placed.resampling
        return [
            file.number,
            file.fingerprint,
            self.stretches[file.group].describe(),
            file.native,
            str(file.placed.window),
            None if resampling is None else resampling.name,
        ]


def make_plan(
    files: Sequence[Surveyed],
    numbers: Mapping[str, int],
    lattice: Lattice,
    stretches: Mapping[str, Stretch],
    card: Card,
    extract: ExtractOptions,
    area: npt.NDArray[np.object_] | None = None,
) -> tuple[Plan, dict[str, str]]:
    """Place all files and find the blocks.

    Args:
        files: readable ones, in order of precedence.
        numbers: number of each file, by name.
        lattice: see `choose_lattice`.
        stretches: of each sensor group.
        card: of the model.
        extract: see `ExtractOptions`.
        area: polygons in the mosaic's CRS, outside which there is to be nothing.

    Returns:
        The plan, and by name what is wrong with files that cannot be placed.

    Raises:
        NoValidPixelError: no file lies in the area.
    """
    placed: list[PlannedFile] = []
    misplaced: dict[str, str] = {}
    last: Any = None
    run = 0
    for file in files:
        assert file.source is not None  # the caller leaves damaged ones out
        try:
            native, where, window = _place(file, lattice)
        except SceneError as error:
            misplaced[file.name] = str(error)
            continue
        stretch = stretches[file.group]
        kind = (native, file.source.dtype, file.source.channels, stretch)
        run += kind != last
        last = kind
        number = numbers[file.name]
        placed.append(PlannedFile(number, file.fingerprint, file.group, run, native, where, window))
    common = {
        "lattice": lattice.to_json(),
        "model": {"name": card.name, "files": dict(card.files), "percentiles": card.percentiles},
        "engine": [extract.engine, extract.device, extract.precision],
        "reading": [extract.bands, extract.nodata],
    }
    blocks = find_blocks(lattice.grid, [file.window for file in placed])
    limits: dict[BlockId, Limit] = {}
    if area is not None:
        touched = find_limits(area, lattice.grid, blocks)
        if not touched:
            raise NoValidPixelError(
                "got an area of interest on which no file of the mosaic lies",
                hint="`buildext mosaic … --plan-only` without the area draws where they lie",
            )
        blocks = {block: blocks[block] for block in touched}
        limits = {block: limit for block, limit in touched.items() if limit is not None}
    return Plan(lattice, tuple(placed), stretches, blocks, limits, common, extract), misplaced


def find_blocks(grid: MosaicGrid, windows: Sequence[Window]) -> dict[BlockId, tuple[int, ...]]:
    """The blocks on which a window lies, row by row, each with all windows within its reach."""
    own = {block for window in windows for block in grid.blocks_of(window)}
    reach: dict[BlockId, list[int]] = {block: [] for block in sorted(own)}
    before = grid.overlap_px + _SLACK_PX
    extent = before + grid.tile_px - grid.overlap_px + _SLACK_PX
    for place, window in enumerate(windows):
        seen_from = Window(
            window.row - before, window.col - before, window.height + extent, window.width + extent
        )
        for block in grid.blocks_of(seen_from):
            if block in reach:
                reach[block].append(place)
    return {block: tuple(places) for block, places in reach.items()}


def covered_cells(grid: MosaicGrid, within: Window, windows: Sequence[Window]) -> CellRange | None:
    """The rectangle of cells on which any window lies within another; None where none does."""
    parts = [part for window in windows if (part := within.intersection(window)) is not None]
    if not parts:
        return None
    row, col = min(p.row for p in parts), min(p.col for p in parts)
    row_stop, col_stop = max(p.row_stop for p in parts), max(p.col_stop for p in parts)
    return CellRange.covering(grid.tiles, Window(row, col, row_stop - row, col_stop - col))


def digest(values: Any) -> str:
    """A short hash of plain values."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _place(file: Surveyed, lattice: Lattice) -> tuple[bool, Placed, Window]:
    """Whether a file is on the base grid, its place there or on the model grid, and its pixels."""
    base: Base = lattice.base
    crs = lattice.grid.crs
    assert file.source is not None  # checked by the caller
    placed = place_one(file.source, base.transform, crs)
    if placed.resampling is None:
        return True, placed, base.to_model(placed.window)
    if not base.is_model:
        placed = place_one(file.source, lattice.grid.transform, crs)
    return False, placed, placed.window
