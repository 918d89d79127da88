from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from buildext.errors import OutputError, SceneError
from buildext.footprints.assemble import assemble
from buildext.footprints.features import to_batch
from buildext.footprints.frame import GridFrame
from buildext.footprints.raw import Block
from buildext.footprints.separate import SeparationOptions
from buildext.footprints.shape import shape_groups
from buildext.grid.window import Window
from buildext.mosaic import outline
from buildext.mosaic.grid import FIRST_BLOCK, BlockId, MosaicGrid, probability_path, source_path
from buildext.mosaic.outline import SOURCE_NUMBER, footprints_path, outline_block
from buildext.mosaic.rows import OutlineOptions
from tests.footprints.conftest import fields, separations
from tests.mosaic.rasters import PLAIN, grid_of, options_of, write_mosaic

BOTH = ("building", "contact")


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of its own for each example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def outlined(
    out: Path, grid: MosaicGrid, blocks: list[BlockId], options: OutlineOptions
) -> pa.Table:
    """All features of a mosaic, block after block."""
    tables = []
    for block in blocks:
        outcome = outline_block(out, grid, block, options)
        path = footprints_path(out, block)
        assert path.exists() == (outcome.buildings > 0)
        if path.exists():
            table = pq.read_table(path)
            assert len(table) == outcome.buildings
            tables.append(table.drop_columns("bbox"))
    if not tables:
        return outline.BLOCK_SCHEMA.empty_table()
    return pa.concat_tables(tables)


def in_one_pass(
    probability: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    sources: NDArray[np.uint16],
    grid: MosaicGrid,
    options: OutlineOptions,
) -> pa.Table:
    """The features of the whole array at once, with ids and sources found the plain way."""
    _, height, width = probability.shape
    first = FIRST_BLOCK * grid.block_px
    frame = GridFrame(grid.frame(Window(first, first, 1, 1)).transform, grid.crs, grid.gsd_m)
    block = Block(Window(0, 0, height, width), probability * valid, valid)
    groups = list(assemble([block], (height, width), options.separation))
    shaped = [one for group in shape_groups(groups, options.shape, grid.gsd_m) for one in group]
    ids, numbers = [], []
    for building in shaped:
        col, row = building.raw.polygon.exterior.coords[0]
        ids.append((int(row) + first) * 2**28 + int(col) + first)
        y, x = np.mgrid[:height, :width]
        inside = shapely.contains_xy(building.raw.polygon, x + 0.5, y + 0.5)
        numbers.append(int(np.bincount(sources[inside]).argmax()))
    columns = to_batch(shaped, frame, 0).to_pydict()
    columns |= {"id": ids, SOURCE_NUMBER: numbers}
    return pa.table(columns, schema=outline.BLOCK_SCHEMA)


def same(one: pa.Table, other: pa.Table) -> bool:
    return one.sort_by("id").combine_chunks().equals(other.sort_by("id").combine_chunks())


@given(data=st.data(), separation=separations(), mode=st.sampled_from(["none", "right-angles"]))
@settings(max_examples=15)
def test_equals_one_pass_whatever_the_blocks(
    data: st.DataObject, separation: SeparationOptions, mode: str
) -> None:
    probability, valid = data.draw(fields(70))
    block_px = data.draw(st.integers(12, 80))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    pieces = random.integers(1, 4, (10, 10), dtype=np.uint16).repeat(9, 0).repeat(9, 1)
    sources = pieces[: valid.shape[0], : valid.shape[1]] * valid
    grid, options = grid_of(block_px, BOTH), options_of(separation, mode)
    with folder() as out:
        blocks = write_mosaic(out, grid, probability, valid, sources)
        found = outlined(out, grid, data.draw(st.permutations(blocks)), options)
    assert same(found, in_one_pass(probability, valid, sources, grid, options))


def test_a_building_on_four_files_and_four_blocks_is_one_polygon(tmp_path: Path) -> None:
    probability = np.zeros((1, 64, 64), np.uint8)
    probability[0, 22:50, 20:44] = 204
    sources = np.array([[1, 2], [3, 4]], np.uint16).repeat(32, 0).repeat(32, 1)
    grid = grid_of(32)
    blocks = write_mosaic(tmp_path, grid, probability, sources=sources)
    found = outlined(tmp_path, grid, blocks, options_of(mode="right-angles"))
    (row,) = found.to_pylist()
    polygon = shapely.from_wkb(row["geometry"])
    x, y = grid.frame(grid.window(blocks[0])).transform @ (20, 22)
    assert polygon.equals(shapely.box(x, y - 14, x + 12, y))
    assert row["area_m2"] == 168 and row["perimeter_m"] == 52
    assert row["confidence"] == 0.8
    assert row["reg_status"] == "regularised"
    assert not row["touches_edge"]
    # Of 28 rows 18 lie in the lower files, of 24 columns 12 in either: the lower number of two.
    assert row[SOURCE_NUMBER] == 3
    assert footprints_path(tmp_path, blocks[0]).exists()


def test_a_snake_through_many_blocks_is_one_polygon(tmp_path: Path) -> None:
    probability = np.zeros((1, 96, 96), np.uint8)
    for turn, row in enumerate(range(4, 92, 8)):
        probability[0, row : row + 3, 2:94] = 255
        if row + 8 < 92:
            probability[0, row : row + 8, slice(91, 94) if turn % 2 else slice(2, 5)] = 255
    grid, valid = grid_of(16), np.ones((96, 96), np.bool_)
    blocks = write_mosaic(tmp_path, grid, probability)
    found = outlined(tmp_path, grid, blocks, options_of())
    assert len(found) == 1
    assert same(found, in_one_pass(probability, valid, valid.astype(np.uint16), grid, options_of()))


def test_a_group_too_large_to_shape_keeps_its_pixels_whoever_meets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probability = np.zeros((1, 60, 90), np.uint8)
    y, x = np.mgrid[:60, :90]
    for col in (20, 65):
        probability[0][(abs(x - col) + abs(y - 30)) < (17 if col == 20 else 9)] = 255
    found = {}
    monkeypatch.setattr(outline, "LARGEST_GROUP_PX", 100)
    for block_px in (25, 90):
        (tmp_path / str(block_px)).mkdir()
        grid, options = grid_of(block_px), options_of(mode="any-angle")
        blocks = write_mosaic(tmp_path / str(block_px), grid, probability)
        rows = outlined(tmp_path / str(block_px), grid, blocks, options).to_pylist()
        found[block_px] = sorted((row["geometry"], row["reg_status"]) for row in rows)
    assert found[25] == found[90]
    assert sorted(status for _, status in found[25]) == ["kept", "regularised"]


def test_a_raster_full_of_building_is_one_polygon_of_the_first_block(tmp_path: Path) -> None:
    probability = np.full((1, 100, 130), 255, np.uint8)
    grid = grid_of(32)
    blocks = write_mosaic(tmp_path, grid, probability)
    (row,) = outlined(tmp_path, grid, blocks, options_of()).to_pylist()
    assert row["area_m2"] == 100 * 130 / 4 and row["touches_edge"]
    assert footprints_path(tmp_path, blocks[0]).exists()


def test_files_are_the_same_byte_by_byte_and_replace_what_was_there(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    probability = random.integers(0, 256, (1, 40, 40), dtype=np.uint8)
    grid = grid_of(16)
    blocks = write_mosaic(tmp_path, grid, probability)
    outlined(tmp_path, grid, blocks, options_of())
    before = {block: footprints_path(tmp_path, block).read_bytes() for block in blocks}
    outlined(tmp_path, grid, blocks[::-1], options_of())
    assert before == {block: footprints_path(tmp_path, block).read_bytes() for block in blocks}
    strict = options_of(SeparationOptions(255, None, min_area_px=40))
    outlined(tmp_path, grid, blocks, strict)
    assert not list((tmp_path / "footprints").iterdir())


def test_all_blocks_that_were_looked_at_are_told(tmp_path: Path) -> None:
    probability = np.zeros((1, 16, 160), np.uint8)
    probability[0, 4:12, 4:100] = 255
    grid = grid_of(16)
    blocks = write_mosaic(tmp_path, grid, probability)
    outcome = outline_block(tmp_path, grid, blocks[0], options_of())
    assert outcome.buildings == 1
    assert {block.name for block in blocks[:7]} <= set(outcome.details["read"])
    assert blocks[8].name not in outcome.details["read"]
    # What has no data in it is looked at too: it may have some tomorrow.
    assert BlockId(FIRST_BLOCK + 1, FIRST_BLOCK).name not in {block.name for block in blocks}
    shutil.rmtree(tmp_path / "probability")
    outcome = outline_block(tmp_path, grid, blocks[0], options_of())
    assert outcome.buildings == 0 and outcome.details["read"] == [blocks[0].name]
    assert not footprints_path(tmp_path, blocks[0]).exists()


def test_broken_off_half_way_nothing_is_left_and_nothing_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probability = np.zeros((1, 40, 40), np.uint8)
    probability[0, 4:20, 4:20] = 255
    grid = grid_of(40)
    (block,) = write_mosaic(tmp_path, grid, probability)
    outline_block(tmp_path, grid, block, options_of())
    before = footprints_path(tmp_path, block).read_bytes()

    class Full(pq.ParquetWriter):
        def write_table(self, *args: object, **kwargs: object) -> None:
            super().write_table(*args, **kwargs)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "ParquetWriter", Full)
    with pytest.raises(OutputError):
        outline_block(tmp_path, grid, block, options_of(SeparationOptions(1, None)))
    assert [path.name for path in (tmp_path / "footprints").iterdir()] == [f"{block}.parquet"]
    assert footprints_path(tmp_path, block).read_bytes() == before


KILLED = """
import os, pathlib, signal, sys
import pyarrow.parquet as pq
from buildext.mosaic.outline import outline_block
from tests.mosaic.rasters import grid_of, options_of
from buildext.mosaic.grid import BlockId
write = pq.ParquetWriter.write_table
def half(self, *args, **kwargs):
    write(self, *args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
pq.ParquetWriter.write_table = half
outline_block(pathlib.Path(sys.argv[1]), grid_of(40), BlockId.parse(sys.argv[2]), options_of())
"""


def test_killed_half_way_there_is_no_file_of_that_name(tmp_path: Path) -> None:
    probability = np.zeros((1, 40, 40), np.uint8)
    probability[0, 4:20, 4:20] = 255
    (block,) = write_mosaic(tmp_path, grid_of(40), probability)
    command = [sys.executable, "-c", KILLED, str(tmp_path), block.name]
    root = Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=root, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    (left,) = (tmp_path / "footprints").iterdir()
    assert left.name.startswith(".")
    assert outline_block(tmp_path, grid_of(40), block, options_of()).buildings == 1


def test_a_damaged_raster_is_named(tmp_path: Path) -> None:
    probability = np.full((1, 40, 40), 255, np.uint8)
    grid = grid_of(40)
    (block,) = write_mosaic(tmp_path, grid, probability)
    path = probability_path(tmp_path, block)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(SceneError, match=path.name):
        outline_block(tmp_path, grid, block, options_of(PLAIN))
    write_mosaic(tmp_path, grid, probability)
    source_path(tmp_path, block).write_bytes(b"nothing")
    with pytest.raises(SceneError, match=source_path(tmp_path, block).name):
        outline_block(tmp_path, grid, block, options_of(PLAIN))
