"""Lattice and plan: nothing moves that need not, and every file is read wherever it is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from buildext.errors import UsageError
from buildext.extract.blend import Layout
from buildext.grid.window import Window
from buildext.mosaic.grid import FIRST_BLOCK, BlockId, MosaicGrid
from buildext.mosaic.lattice import Lattice, Wish, choose_lattice
from buildext.mosaic.plan import covered_cells, find_blocks
from buildext.scene.source import Source, inspect
from tests.scene.rasters import OPTIONS, noise, utm, write

WISH = Wish(None, None, (0.1, 0.6), 128, 32, 400, ("building",))


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Source]:
    def one(name: str, transform: Affine, crs: str = "EPSG:32630", size: int = 60) -> Source:
        path = write(tmp_path / f"{name}.tif", noise(size, size), transform, crs)
        return inspect(str(path), OPTIONS)

    return {
        "a": one("a", utm(0.3, 100, 100), size=90),
        "b": one("b", utm(0.3, 20, 40)),
        "coarse": one("coarse", utm(0.45, 0, 0)),
        "other": one("other", Affine(0.3, 0, 7_000, 0, -0.3, 4_657_000), "EPSG:32631"),
        "degrees": one("degrees", Affine(3e-6, 0, -3.0, 0, -3e-6, 42.0), "EPSG:4326", 200),
    }


def test_the_lattice_continues_the_pixels_of_most_files(sources: dict[str, Source]) -> None:
    a, b = sources["a"], sources["b"]
    lattice = choose_lattice([b, sources["coarse"], a], WISH)
    grid = lattice.grid
    assert lattice.base.is_model and grid.gsd_m == pytest.approx(0.3, rel=1e-3)
    assert grid.crs == CRS.from_epsg(32630) and grid.block_cells == 4
    for source in (a, b):
        col, row = ~grid.transform @ (source.transform.c, source.transform.f)
        assert (col, row) == pytest.approx((round(col), round(row)), abs=1e-3)
    # The first pixel lies an overlap inside the first block: no tile before it sees anything.
    west, north = sources["coarse"].transform.c, sources["coarse"].transform.f
    col, row = (round(value, 3) for value in ~grid.transform @ (west, north))
    first = FIRST_BLOCK * grid.block_px
    assert first + 32 <= col < first + 34 and first + 32 <= row < first + 34


@pytest.mark.parametrize("gsd_m", [0.45, 0.17])
def test_model_and_base_grid_share_their_origin(sources: dict[str, Source], gsd_m: float) -> None:
    lattice = choose_lattice([sources["a"], sources["b"]], replace(WISH, gsd_m=gsd_m))
    base, grid = lattice.base, lattice.grid
    assert grid.transform @ (0, 0) == base.transform @ (0, 0)
    assert base.scale_row == pytest.approx(gsd_m / 0.3, rel=1e-3) and grid.gsd_m == gsd_m
    col, row = ~base.transform @ (sources["a"].transform.c, sources["a"].transform.f)
    assert (col, row) == pytest.approx((round(col), round(row)), abs=1e-3)
    assert Lattice.from_json(lattice.to_json()) == lattice


def test_crs_of_most_pixels_or_as_wished(sources: dict[str, Source]) -> None:
    names = ["other", "a", "b"]
    assert choose_lattice([sources[n] for n in names], WISH).grid.crs == CRS.from_epsg(32630)
    wished = replace(WISH, crs="EPSG:32631")
    assert choose_lattice([sources[n] for n in names], wished).grid.crs == CRS.from_epsg(32631)
    in_degrees = choose_lattice([sources["degrees"]], WISH).grid
    assert in_degrees.crs == CRS.from_epsg(32630)
    assert in_degrees.gsd_m == pytest.approx(0.287, abs=0.01)
    for bad in ("EPSG:4326", "EPSG:999999", "my own"):
        with pytest.raises(UsageError, match="CRS"):
            choose_lattice([sources["a"]], replace(WISH, crs=bad))


def grid_of(tile_px: int = 64, overlap_px: int = 16, block_cells: int = 2) -> MosaicGrid:
    return MosaicGrid(
        CRS.from_epsg(32630).to_wkt(),
        utm(0.3),
        0.3,
        tile_px,
        overlap_px,
        block_cells,
        ("building",),
    )


windows = st.lists(
    st.builds(
        Window, *(st.integers(1000, 1500), st.integers(1000, 1500)),
        *(st.integers(1, 300), st.integers(1, 300)),
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@settings(max_examples=25)
@given(windows, st.integers(1, 3), st.sampled_from([0, 16, 32]))
def test_blocks_cover_the_files_and_know_all_that_they_read(
    some: list[Window], block_cells: int, overlap_px: int
) -> None:
    grid = grid_of(64, overlap_px, block_cells)
    blocks = find_blocks(grid, some)
    assert list(blocks) == sorted(blocks)
    covered = np.zeros((2000, 2000), bool)
    for window in some:
        covered[window.slices] = True
    seen = np.zeros_like(covered)
    for block in blocks:
        seen[grid.window(block).slices] = True
        cells = covered_cells(grid, grid.window(block), some)
        assert cells is not None
        inside = cells.window(grid.tiles)
        whole = grid.window(block)
        assert inside.intersection(whole) == inside
        # Outside of its cells a block is empty.
        rest = covered[whole.slices].copy()
        rest[inside.shifted(-whole.row, -whole.col).slices] = False
        assert not rest.any()
        # Every file that a tile of the block meets is among those that it knows.
        layout = Layout(grid.tiles, cells)
        for panel in layout.panels():
            for row in range(panel.row, panel.row_stop):
                for col in range(panel.col, panel.col_stop):
                    tile = grid.tiles.tile(row, col)
                    for place, window in enumerate(some):
                        if tile.intersection(window) is not None:
                            assert place in blocks[block]
    assert not (covered & ~seen).any()


def test_names_of_blocks() -> None:
    block = BlockId(7, 12345)
    assert block.name == "00007_12345" and BlockId.parse(block.name) == block


def test_the_frame_of_a_window_is_where_its_corner_is() -> None:
    grid = grid_of()
    frame: Any = grid.frame(Window(10, 20, 5, 5))
    assert frame.transform @ (0, 0) == grid.transform @ (20, 10)
