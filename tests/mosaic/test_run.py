"""A mosaic from end to end, with the real network on a small city of six files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform

from buildext.errors import (
    MissingInputError,
    NoValidPixelError,
    OutputExistsError,
    SceneError,
    UsageError,
)
from buildext.extract.blend import CellRange, Layout
from buildext.extract.choices import engine_of
from buildext.extract.options import ExtractOptions
from buildext.extract.predict import predict
from buildext.grid.window import Window
from buildext.models.store import BUNDLED, load_model, write_model_card
from buildext.mosaic.block import Attributed, open_layers
from buildext.mosaic.grid import BlockId
from buildext.mosaic.ledger import FOOTPRINTS, PROBABILITY, Stage, open_ledger, read_ledger
from buildext.mosaic.options import MosaicOptions, RunOptions
from buildext.mosaic.plan import Plan
from buildext.mosaic.prepare import prepare
from buildext.mosaic.run import MosaicResult
from buildext.mosaic.standing import standing
from buildext.progress import SilentProgress
from tests.mosaic import cities
from tests.mosaic.cities import EXTRACT, OPTIONS, Made, read, run, with_extract


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cities.write_city(tmp_path_factory.mktemp("city") / "in")


@pytest.fixture(scope="module")
def done(city: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MosaicResult, Made]:
    out = tmp_path_factory.mktemp("done") / "out"
    result = run(city, out)
    return out, result, read(out)


@pytest.fixture
def again(done: tuple[Path, MosaicResult, Made], tmp_path: Path) -> Path:
    """A copy of the finished mosaic, to go on with."""
    return Path(shutil.copytree(done[0], tmp_path / "out"))


def plan_of(city: Path, out: Path, options: MosaicOptions = OPTIONS) -> Plan:
    with open_ledger(out) as ledger:
        return prepare(ledger, out, [str(city)], options, SilentProgress()).plan


def numbers(out: Path) -> dict[str, int]:
    with read_ledger(out) as ledger:
        return {Path(row.name).stem: row.number for row in ledger.sources()}


def test_all_files_are_used_and_blocks_are_more_than_one(
    done: tuple[Path, MosaicResult, Made],
) -> None:
    out, result, made = done
    assert result.exit_code == 0 and not result.failed and not result.damaged
    assert result.blocks >= 9 and result.done == 2 * result.blocks
    found = np.unique(np.concatenate([np.unique(block) for block in made.source.values()]))
    assert set(found) >= set(numbers(out).values())
    assert result.finished is not None and result.finished.totals.all.buildings > 10


def test_blocks_are_exactly_one_pass(
    city: Path, done: tuple[Path, MosaicResult, Made], again: Path
) -> None:
    check_one_pass(done[2], plan_of(city, again), again, EXTRACT)


def test_blocks_are_exactly_one_pass_that_looks_twice(
    city: Path, done: tuple[Path, MosaicResult, Made], tmp_path: Path
) -> None:
    out, options = tmp_path / "out", with_extract(second_scale=1.5)
    assert run(city, out, options).exit_code == 0
    made = read(out)
    check_one_pass(made, plan_of(city, out, options), out, options.extract)
    block = min(made.probability)
    assert not np.array_equal(made.probability[block], done[2].probability[block])


def check_one_pass(made: Made, plan: Plan, out: Path, extract: ExtractOptions) -> None:
    """All cells of the city at one go, in other panels: the blocks must be windows of it."""
    windows = [file.window for file in plan.files]
    row, col = min(w.row for w in windows), min(w.col for w in windows)
    height = max(w.row_stop for w in windows) - row
    width = max(w.col_stop for w in windows) - col
    block = min(plan.blocks)
    every = replace(plan, blocks={block: tuple(range(len(plan.files)))})
    job = every.job(out, block, frozenset(), 1)
    tiles = plan.grid.tiles
    cells = CellRange.covering(tiles, Window(row, col, height, width))
    whole = cells.window(tiles)
    model = load_model(extract.model)
    scene = Attributed(
        open_layers(job, model.card), whole, tuple(file.number for file in plan.files)
    )
    probability = np.zeros((len(plan.grid.channels), whole.height, whole.width), np.uint8)
    valid = np.zeros((whole.height, whole.width), bool)
    layout = Layout(tiles, cells, strip_rows=2, panel_cols=3)
    engine = engine_of(model, extract, plan.grid.gsd_m)
    for part in predict(scene, layout, engine, len(plan.grid.channels)):
        there = part.window.shifted(-whole.row, -whole.col).slices
        probability[(slice(None), *there)] = part.probability
        valid[there] = part.valid
    assert probability.max() > 200
    for block in plan.blocks:
        window = plan.grid.window(block)
        inside = window.intersection(whole)
        assert inside is not None
        there = inside.shifted(-whole.row, -whole.col).slices
        here = inside.shifted(-window.row, -window.col).slices
        if block not in made.probability:
            assert not valid[there].any()
            continue
        np.testing.assert_array_equal(
            made.probability[block][(slice(None), *here)], probability[(slice(None), *there)]
        )
        np.testing.assert_array_equal(made.valid[block][here], valid[there])
        # All else of the block is empty.
        assert made.valid[block].sum() == valid[there].sum()
        assert (made.probability[block][:, ~made.valid[block]] == 0).all()


def test_blocks_lie_where_the_files_lie(city: Path, done: tuple[Path, MosaicResult, Made]) -> None:
    out, _, made = done
    with rasterio.open(city / "sheet_00.tif") as sheet:
        west, north = sheet.transform @ (0, 0)
    first = min(made.probability)
    with rasterio.open(out / "probability" / f"{first.name}.tif") as raster:
        assert raster.crs == sheet.crs
        col, row = ~raster.transform @ (west, north)
        rows, cols = np.nonzero(raster.dataset_mask())
        assert raster.descriptions[0] == "building"
        assert raster.profile["tiled"] and raster.profile["blockxsize"] == 512
    assert (rows.min(), cols.min()) == (round(row), round(col))


def test_the_newest_file_counts(done: tuple[Path, MosaicResult, Made], city: Path) -> None:
    """The dated sheet lies over the others wherever it is."""
    out, _, made = done
    newer = numbers(out)["newer"]
    with read_ledger(out) as ledger:
        dated = [row for row in ledger.sources() if row.acquired]
    assert [(row.number, row.acquired) for row in dated] == [(newer, "2024-05-06T07:08:09")]
    pixels = sum((block == newer).sum() for block in made.source.values())
    scale = 0.1 / 0.0746
    assert pixels == pytest.approx(180 * 200 / scale**2, rel=0.05)


def test_nothing_is_done_twice(
    city: Path, done: tuple[Path, MosaicResult, Made], again: Path
) -> None:
    result = run(city, again)
    assert result.done == 0 and result.finished is None
    assert read(again).same_as(done[2])


def test_a_block_whose_file_is_gone_is_done_again(
    city: Path, done: tuple[Path, MosaicResult, Made], again: Path
) -> None:
    gone = sorted((again / "footprints").glob("*.parquet"))[0]
    before = gone.read_bytes()
    gone.unlink()
    assert run(city, again).done == 1
    assert gone.read_bytes() == before
    assert read(again).same_as(done[2])


def test_another_threshold_redoes_the_outlines_alone(city: Path, again: Path) -> None:
    result = run(city, again, cities.with_extract(threshold=0.7))
    assert result.done == result.blocks
    with read_ledger(again) as ledger:
        stages = {row.stage for row in ledger.tasks().values() if row.attempts}
    assert stages == {FOOTPRINTS, PROBABILITY}


def test_another_model_redoes_everything(
    city: Path, done: tuple[Path, MosaicResult, Made], again: Path, tmp_path: Path
) -> None:
    """The same weights in a file with one remark more: other bytes, hence another model."""
    folder = Path(shutil.copytree(BUNDLED / "default", tmp_path / "model"))
    with (folder / "model.onnx").open("ab") as file:
        # Field 6 of an ONNX model, `doc_string`, of six bytes.
        file.write(b"\x32\x06remark")
    write_model_card(folder, load_model("default").card)
    result = run(city, again, cities.with_extract(model=str(folder)))
    assert result.done == 2 * result.blocks
    mine, theirs = read(again).probability, done[2].probability
    assert all(np.array_equal(mine[block], theirs[block]) for block in theirs)


def test_a_new_file_redoes_what_it_touches(
    city: Path, done: tuple[Path, MosaicResult, Made], again: Path, tmp_path: Path
) -> None:
    """Even one that lies to the north-west of all, where no block was."""
    _, before, made = done
    with rasterio.open(city / "sheet_00.tif") as sheet:
        image, profile = sheet.read(), sheet.profile
    profile["transform"] = profile["transform"] @ rasterio.Affine.translation(-200, -200)
    added = tmp_path / "added.tif"
    with rasterio.open(added, "w", **profile) as file:
        file.write(image)
    result = run([str(city), str(added)], again)
    after = read(again)
    touched = {
        block
        for block in after.probability
        if block not in made.probability
        or not np.array_equal(after.source[block], made.source[block])
    }
    assert touched and result.blocks > before.blocks
    assert 0 < result.done < 2 * result.blocks
    plan = plan_of(city, again)
    assert min(touched) < min(plan.blocks)
    # Without it, all is as it was before, and what it alone had brought is gone.
    back = run(city, again)
    assert back.blocks == before.blocks
    assert read(again).same_as(made)


def test_a_truncated_file_is_reported_and_left_out(
    city: Path, done: tuple[Path, MosaicResult, Made], tmp_path: Path
) -> None:
    _, _, made = done
    files = Path(shutil.copytree(city, tmp_path / "in"))
    newer = files / "newer.tif"
    newer.write_bytes(newer.read_bytes()[:-3000])
    out = tmp_path / "out"
    result = run(files, out)
    assert result.exit_code == 0 and len(result.damaged) == 1
    assert "newer.tif" in result.damaged[0] and "truncated" in result.damaged[0]
    assert "newer.tif" in (out / "summary.html").read_text("utf-8")
    after = read(out)
    assert all((after.source[b] != numbers(out)["newer"]).all() for b in after.source)
    # The sheets below fill in.
    assert sum(v.sum() for v in after.valid.values()) == sum(v.sum() for v in made.valid.values())
    with pytest.raises(SceneError, match="truncated"):
        run(files, tmp_path / "other", how=RunOptions(fail_fast=True))


def test_damage_met_while_reading_is_as_if_it_had_been_known(city: Path, tmp_path: Path) -> None:
    """Some blocks were done with the file before; the end is that of a run without it."""
    files = Path(shutil.copytree(city, tmp_path / "in"))
    path = files / "newer.tif"
    with rasterio.open(path) as file:
        offset, length = (
            int(file.get_tag_item(f"BLOCK_{key}_1_2", "TIFF", bidx=1)) for key in ("OFFSET", "SIZE")
        )
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = bytes(length)
    path.write_bytes(bytes(content))
    # A stretch that is given: the sample must not be what finds the damage.
    options = cities.with_extract(scale=(0.0, 255.0))
    out = tmp_path / "out"
    result = run(files, out, options)
    assert len(result.damaged) == 1 and "newer.tif" in result.damaged[0]
    found = read(out)
    path.unlink()
    run(files, tmp_path / "other", options)
    other = read(tmp_path / "other")
    assert found.probability.keys() == other.probability.keys()
    for block, image in other.probability.items():
        np.testing.assert_array_equal(found.probability[block], image)


def test_a_folder_that_is_no_mosaic_is_refused(city: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="no mosaic"):
        run(city, tmp_path)


def write_area(path: Path, city: Path, corners_px: list[tuple[float, float]]) -> MosaicOptions:
    """A layer of one polygon in longitude and latitude, from pixels of the first sheet."""
    with rasterio.open(city / "sheet_00.tif") as sheet:
        xs, ys = zip(*(sheet.transform @ corner for corner in corners_px), strict=True)
        xs, ys = transform(sheet.crs, "EPSG:4326", xs, ys)
    ring = [[x, y] for x, y in zip([*xs, xs[0]], [*ys, ys[0]], strict=True)]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), "utf-8")
    return replace(OPTIONS, aoi=str(path))


def test_an_area_limits_the_mosaic_and_changes_nothing_inside(
    city: Path, done: tuple[Path, MosaicResult, Made], tmp_path: Path
) -> None:
    """What lies in the area is that of the whole city; a wider one adds to it; none is all."""
    full = done[2]
    out = tmp_path / "out"
    narrow = write_area(
        tmp_path / "a.json", city, [(-400, -400), (330, -400), (300, 300), (-400, 280)]
    )
    first = run(city, out, narrow)
    made = read(out)
    assert first.exit_code == 0 and 1 < len(made.probability) < len(full.probability)
    limited = 0
    for block, valid in made.valid.items():
        assert not (valid & ~full.valid[block]).any() and valid.any()
        limited += bool((full.valid[block] & ~valid).any())
        expected = full.probability[block] * valid
        np.testing.assert_array_equal(made.probability[block], expected)
        np.testing.assert_array_equal(made.source[block], full.source[block] * valid)
    assert limited
    started = times_of_work(out)
    assert run(city, out, narrow).done == 0

    wide = write_area(
        tmp_path / "b.json", city, [(-400, -400), (800, -400), (300, 300), (-400, 280)]
    )
    second = run(city, out, wide)
    untouched = {task for task, time in times_of_work(out).items() if started.get(task) == time}
    kept = {block for block, stage in untouched if stage == PROBABILITY}
    whole = {block for block in made.valid if (made.valid[block] == full.valid[block]).all()}
    now = read(out).valid
    alike = {block for block in made.valid if (made.valid[block] == now[block]).all()}
    assert whole and whole <= kept <= alike and alike < set(now)
    assert second.done == 2 * second.blocks - len(untouched)

    assert run(city, out, narrow).exit_code == 0
    assert read(out).same_as(made), "blocks outside leave nothing behind"
    run(city, out)
    assert read(out).same_as(full)


def times_of_work(out: Path) -> dict[tuple[BlockId, Stage], tuple[str, float]]:
    with read_ledger(out) as ledger:
        return {task: (row.started, row.seconds) for task, row in ledger.tasks().items()}


def test_an_area_without_files_is_refused(city: Path, tmp_path: Path) -> None:
    aside = write_area(tmp_path / "a.json", city, [(-900, 0), (-800, 0), (-800, 100)])
    with pytest.raises(NoValidPixelError, match="no file of the mosaic"):
        run(city, tmp_path / "out", aside)
    with pytest.raises(MissingInputError, match="area of interest"):
        run(city, tmp_path / "out", replace(OPTIONS, aoi="nowhere.gpkg"))


def test_where_the_time_went_is_known(done: tuple[Path, MosaicResult, Made]) -> None:
    out, result, _ = done
    times = standing(out).times
    assert times is not None and times.to_json() == result.times.to_json()
    assert all(span.wall_s > 0 for span in times.spans.values())
    assert 0.9 * result.seconds < times.total.wall_s <= result.seconds
    assert 0 < times.overhead.wall_s < 1
    # In one process, the time of the blocks is what the workers say, and little more.
    with read_ledger(out) as ledger:
        seconds = sum(row.seconds for row in ledger.tasks().values())
    assert seconds <= times.spans["blocks"].wall_s


def test_two_coordinators_are_one_too_many(city: Path, again: Path) -> None:
    with open_ledger(again), pytest.raises(UsageError, match="another process"):
        run(city, again)


def test_blocks_of_another_size_leave_nothing_of_the_first(city: Path, again: Path) -> None:
    result = run(city, again, replace(OPTIONS, block_px=500))
    assert result.exit_code == 0 and result.blocks == 1
    assert [path.stem for path in (again / "footprints").iterdir()] == ["01000_01000"]
    (image,) = read(again).probability.values()
    assert image.shape[1:] == (480, 480)


def test_a_lost_raster_is_made_again(
    city: Path, done: tuple[Path, MosaicResult, Made], again: Path
) -> None:
    block: BlockId = min(done[2].probability)
    (again / "probability" / f"{block.name}.source.tif").unlink()
    result = run(city, again)
    assert result.done == 1
    assert read(again).same_as(done[2])
