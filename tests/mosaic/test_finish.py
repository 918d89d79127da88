from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio
import shapely

from buildext.errors import MissingInputError, NoValidPixelError, OutputError, UsageError
from buildext.footprints.separate import SeparationOptions
from buildext.mosaic import finish as finishing
from buildext.mosaic import layer, partitions
from buildext.mosaic.finish import Finished, finish
from buildext.mosaic.grid import FIRST_BLOCK, BlockId, MosaicGrid, probability_path
from buildext.mosaic.layer import along_curve
from buildext.mosaic.outline import footprints_path, outline_block
from buildext.mosaic.rows import BlockRow, SourceRow
from buildext.mosaic.times import Span, Times
from tests.mosaic.rasters import GSD_M, grid_of, options_of, write_mosaic

SOURCES = [
    SourceRow(1, "west <1>.tif", "used", "", "2024-05-01T08:00:00", "a"),
    SourceRow(2, "east.tif", "used", "", "2024-06-01T10:00:00+02:00", "a"),
    SourceRow(3, "broken.tif", "damaged", "the file is truncated", "", "b"),
    SourceRow(4, "withdrawn.tif", "gone", "", "2020-01-01T00:00:00Z", "b"),
]
SETTINGS = {"label_kind": "roof", "model": {"name": "test"}}
TIMES = Times({"blocks": Span(7300.0, 14_000.0)})


City = tuple[Path, MosaicGrid, list[BlockRow]]


@pytest.fixture
def city(built: City, tmp_path: Path) -> City:
    """A copy of the town for one test."""
    out, grid, rows = built
    return Path(shutil.copytree(out, tmp_path / "city")), grid, rows


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> City:
    """A town of rectangles on 3 × 4 blocks, the last of which has no data."""
    random = np.random.default_rng(5)
    probability = np.zeros((1, 96, 128), np.uint8)
    for _ in range(60):
        y, x = random.integers(0, 90), random.integers(0, 120)
        height, width = random.integers(4, 12, 2)
        probability[0, y : y + height, x : x + width] = random.integers(150, 255)
    valid = np.ones((96, 128), np.bool_)
    valid[64:, 96:] = False
    sources = valid * np.where(np.arange(128) < 70, 1, 2).astype(np.uint16)
    grid, out = grid_of(32), tmp_path_factory.mktemp("built")
    rows = []
    for block in write_mosaic(out, grid, probability, valid, sources):
        outcome = outline_block(out, grid, block, options_of(mode="right-angles"))
        row, col = block.row - FIRST_BLOCK, block.col - FIRST_BLOCK
        pixels = int(valid[row * 32 : row * 32 + 32, col * 32 : col * 32 + 32].sum())
        rows.append(BlockRow(block, pixels, outcome.buildings, 1.5, outcome.seconds, {}))
    return out, grid, rows


def finished(city: City, formats: tuple[str, ...] = ("parquet",)) -> Finished:
    out, grid, rows = city
    return finish(out, grid, rows, SOURCES, SETTINGS, formats)


def of_blocks(out: Path) -> pa.Table:
    """What the blocks hold, sorted by id."""
    paths = sorted((out / "footprints").glob("*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in paths]).sort_by("id")


def test_the_same_buildings_in_every_format(city: City) -> None:
    out, *_ = city
    result = finished(city, ("parquet", "gpkg", "pmtiles"))
    expected = of_blocks(out)
    assert result.totals.all.buildings == len(expected) > 20

    parts = ds.dataset(out / "buildings").to_table().sort_by("id")
    for name in ("id", "confidence", "area_m2", "reg_status", "touches_edge", "geometry", "bbox"):
        assert parts[name].combine_chunks().equals(expected[name].combine_chunks()), name
    names = {1: "west <1>.tif", 2: "east.tif"}
    wanted = [names[number] for number in expected["source_number"].to_pylist()]
    assert parts["source"].to_pylist() == wanted
    assert set(wanted) == set(names.values())
    assert [row[0]["dataset"] for row in parts["sources"].to_pylist()] == wanted
    assert [row[0]["confidence"] for row in parts["sources"].to_pylist()] == parts[
        "confidence"
    ].to_pylist()

    meta, table = pyogrio.read_arrow(out / "buildings.gpkg", layer="roofs")
    table = table.sort_by("id")
    assert meta["crs"] == "EPSG:25833"
    assert table["source"].to_pylist() == wanted
    np.testing.assert_array_equal(
        shapely.from_wkb(table[meta["geometry_name"] or "geom"]),
        shapely.from_wkb(parts["geometry"]),
    )
    with closing(sqlite3.connect(out / "buildings.gpkg")) as database:
        assert database.execute("SELECT count(*) FROM layer_styles").fetchone() == (1,)
    info = pyogrio.read_info(out / "buildings.pmtiles")
    assert set(info["fields"]) >= {"id", "source", "area_m2"}
    assert [path.name for path in result.paths] == [
        *("buildings", "buildings.gpkg", "buildings.pmtiles"),
        *("probability.vrt", "collection.json", "summary.html"),
    ]
    assert all(path.exists() for path in result.paths)
    assert not list(out.rglob(".*"))


def test_partitions_are_geoparquet_with_boxes_that_say_what_they_hold(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, *_ = city
    monkeypatch.setattr(partitions, "PARTITION_FEATURES", 8)
    result = finished(city)
    paths = sorted((out / "buildings").iterdir())
    assert len(paths) > 2 and paths[0].name == "part-00000.parquet"
    assert sum(pq.read_metadata(path).num_rows for path in paths) == result.totals.all.buildings
    for path in paths:
        table = pq.read_table(path)
        metadata = pq.read_metadata(path).metadata
        geo = json.loads(metadata[b"geo"])
        about = geo["columns"][geo["primary_column"]]
        assert geo["version"] == "1.1.0"
        assert about["covering"]["bbox"]["xmax"] == ["bbox", "xmax"]
        assert about["crs"]["id"] == {"authority": "EPSG", "code": 25833}
        bounds = shapely.bounds(shapely.from_wkb(table["geometry"]))
        boxes = np.array([list(box.values()) for box in table["bbox"].to_pylist()])
        np.testing.assert_array_equal(boxes, bounds)
        whole = [*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)]
        assert about["bbox"] == whole
        item = json.loads((out / "stac" / f"{path.stem}.json").read_text())
        assert item["properties"]["proj:bbox"] == whole
        assert item["properties"]["table:row_count"] == len(table)
        assert json.loads(metadata[b"buildext"]) == SETTINGS


def test_geopandas_reads_the_folder(city: City) -> None:
    geopandas = pytest.importorskip("geopandas")
    out, *_ = city
    result = finished(city)
    frame = geopandas.read_parquet(out / "buildings")
    assert len(frame) == result.totals.all.buildings
    assert frame.crs == "EPSG:25833" and frame.area.round(2).equals(frame["area_m2"])
    left, bottom, right, top = frame.total_bounds
    quarter = (left, bottom, (left + right) / 2, (bottom + top) / 2)
    part = geopandas.read_parquet(out / "buildings", bbox=quarter)
    inside = frame[frame.intersects(shapely.box(*quarter))]
    assert sorted(part["id"]) == sorted(inside["id"])
    assert 0 < len(part) < len(frame)


def test_duckdb_reads_the_folder(city: City) -> None:
    duckdb = pytest.importorskip("duckdb")
    out, *_ = city
    result = finished(city)
    query = f"SELECT count(*), sum(area_m2) FROM '{out}/buildings/*.parquet' WHERE bbox.xmin > 0"
    count, area_m2 = duckdb.sql(query).fetchone()
    assert count == result.totals.all.buildings
    assert area_m2 == pytest.approx(result.totals.all.area_m2)


def test_neighbours_in_the_stream_are_neighbours_on_the_map() -> None:
    blocks = [
        BlockRow(BlockId(FIRST_BLOCK + row, FIRST_BLOCK + col), 1, 0, 0, 0, {})
        for row in range(16)
        for col in range(16)
    ]
    path = [(row.block.row, row.block.col) for row in along_curve(blocks)]
    assert sorted(path) == [(row.block.row, row.block.col) for row in blocks]
    steps = np.abs(np.diff(np.array(path), axis=0)).sum(axis=1)
    # Blocks do not begin at a corner of the curve's quarters, so it leaves them now and then.
    assert np.median(steps) == 1 and steps.mean() < 1.3


def test_the_virtual_raster_is_the_rasters_of_the_blocks(city: City) -> None:
    out, grid, rows = city
    finished(city)
    moved = out.rename(out.with_name("moved"))
    with rasterio.open(moved / "probability.vrt") as whole:
        assert (whole.height, whole.width, whole.count) == (96, 128, 1)
        assert whole.crs == grid.crs and whole.descriptions == ("building",)
        assert whole.scales == (1 / 255,)
        assert whole.transform == grid.transform_of(grid.window(rows[0].block))
        probability, mask = whole.read(1), whole.read_masks(1)
    for row in rows:
        window = grid.window(row.block).shifted(-FIRST_BLOCK * 32, -FIRST_BLOCK * 32)
        path = probability_path(moved, row.block)
        if not path.exists():
            assert not mask[window.slices].any() and not probability[window.slices].any()
            continue
        with rasterio.open(path) as block:
            np.testing.assert_array_equal(probability[window.slices], block.read(1))
            np.testing.assert_array_equal(mask[window.slices], block.read_masks(1))


def test_the_catalogue_leads_to_every_output(city: City) -> None:
    out, *_ = city
    finished(city, ("parquet", "gpkg"))
    collection = json.loads((out / "stac/collection.json").read_text())
    assert collection["type"] == "Collection" and collection["stac_version"] == "1.1.0"
    for name in ("id", "description", "license", "extent", "links"):
        assert collection[name]
    assert collection["extent"]["temporal"]["interval"] == [
        ["2024-05-01T08:00:00Z", "2024-06-01T08:00:00Z"]
    ]
    found = set()
    items = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert sorted(items) == ["buildings.json", "part-00000.json", "probability.json"]
    for href in items:
        item = json.loads((out / "stac" / href).read_text())
        assert item["type"] == "Feature" and item["stac_version"] == "1.1.0"
        assert item["collection"] == collection["id"] == "city"
        assert {link["rel"] for link in item["links"]} == {"root", "parent", "collection"}
        polygon = shapely.geometry.shape(item["geometry"])
        assert polygon.is_valid and polygon.bounds == tuple(item["bbox"])
        # Half a kilometre west of 15° E in UTM 33: its corner lies at 13.37° E, 52.5° N.
        assert polygon.distance(shapely.Point(13.379, 52.518)) < 0.01
        for asset in item["assets"].values():
            path = (out / "stac" / asset["href"]).resolve()
            assert path.exists()
            found.add(path.name)
    assert found == {
        *("buildings.gpkg", "summary.html", "probability.vrt", "part-00000.parquet"),
    }


class _Text(HTMLParser):
    """The words of a page; fails on tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_names_totals_and_what_went_wrong(city: City) -> None:
    out, grid, rows = city
    lost = BlockId(FIRST_BLOCK + 3, FIRST_BLOCK)
    result = finish(
        out, grid, rows, SOURCES, SETTINGS, ("parquet",), failed={lost: "no <memory>"}, times=TIMES
    )
    text = (out / "summary.html").read_text()
    page = _Text()
    page.feed(text)
    assert not page.open
    words = " ".join(page.words)
    for expected in (
        f"{result.totals.all.buildings}",
        "broken.tif the file is truncated",
        f"{lost.name}",
        "no <memory>",
        "west <1>.tif",
        "2 h 02 min",
        "buildings/ha",
        "probability.vrt",
    ):
        assert expected in re.sub(r"\s+", " ", words), expected
    assert "withdrawn.tif" not in words
    assert text.count("<rect") == len(rows) + 1
    assert "http" not in text.replace("http-equiv", "")


def test_totals_are_sums_over_the_layer(city: City) -> None:
    out, *_ = city
    totals = finished(city).totals
    table = of_blocks(out)
    area_m2 = table["area_m2"].to_numpy()
    for counts in (totals.by_size, totals.by_source.values(), totals.by_block.values()):
        assert sum(count.buildings for count in counts) == len(table)
        assert sum(count.area_m2 for count in counts) == pytest.approx(area_m2.sum())
    assert totals.by_size[1].buildings == ((area_m2 >= 20) & (area_m2 < 50)).sum()
    east = table["source_number"].to_numpy() == 2
    assert totals.by_source[2].area_m2 == pytest.approx(area_m2[east].sum())
    assert totals.at_edge.buildings == sum(table["touches_edge"].to_pylist())
    assert totals.confidence_sum == pytest.approx(table["confidence"].to_numpy().sum())
    assert area_m2.min() >= GSD_M**2


def test_a_block_without_its_file_is_not_passed_over(city: City) -> None:
    out, _, rows = city
    finished(city)
    before = {path: path.read_bytes() for path in (out / "buildings").iterdir()}
    row = next(row for row in rows if row.buildings)
    footprints_path(out, row.block).unlink()
    with pytest.raises(MissingInputError, match=str(row.block)):
        finished(city)
    other = next(r for r in rows if r.buildings not in (0, row.buildings))
    path = footprints_path(out, other.block)
    path.replace(footprints_path(out, row.block))
    with pytest.raises(MissingInputError, match=f"{other.buildings} buildings"):
        finish(out, city[1], [row], SOURCES, SETTINGS)
    # What was there stays.
    assert before == {path: path.read_bytes() for path in (out / "buildings").iterdir()}
    assert not list(out.rglob(".*"))


def test_broken_off_half_way_the_old_layer_stays(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, *_ = city
    finished(city, ("parquet", "gpkg"))
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    monkeypatch.setattr(layer, "_BATCH_FEATURES", 4)
    calls = iter(range(100))

    def interrupted(*args: object) -> pa.RecordBatch:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return layer.named(*args)

    monkeypatch.setattr(finishing, "named", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finished(city, ("parquet", "gpkg", "pmtiles"))
    assert before == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_what_a_killed_finish_left_goes(city: City) -> None:
    out, *_ = city
    (out / ".buildings.0123abcd.gpkg").write_bytes(b"half")
    (out / ".buildings.4567cdef").mkdir()
    (out / ".buildings.4567cdef" / "part-00000.parquet").write_bytes(b"half")
    (out / ".lock.sqlite").touch()
    finished(city)
    assert [path.name for path in out.rglob(".*")] == [".lock.sqlite"]


def test_a_file_where_the_folder_should_go_is_an_output_error(city: City) -> None:
    out, grid, rows = city
    (out / "buildings").write_text("in the way")
    with pytest.raises(OutputError):
        finish(out, grid, rows, SOURCES, SETTINGS, ("parquet",))
    assert (out / "buildings").read_text() == "in the way"
    assert not list(out.rglob(".*"))


def test_no_building_gives_valid_outputs_and_no_data_an_error(tmp_path: Path) -> None:
    grid = grid_of(32)
    blocks = write_mosaic(tmp_path, grid, np.zeros((1, 32, 64), np.uint8))
    for block in blocks:
        outline_block(tmp_path, grid, block, options_of(SeparationOptions(1, None)))
    rows = [BlockRow(block, 1024, 0, 1, 1, {}) for block in blocks]
    formats = ("parquet", "gpkg", "pmtiles")
    result = finish(tmp_path, grid, rows, SOURCES[2:3], {}, formats)
    assert result.totals.all.buildings == 0
    assert ds.dataset(tmp_path / "buildings").to_table().num_rows == 0
    assert pyogrio.read_info(tmp_path / "buildings.gpkg", layer="footprints")["features"] == 0
    empty = [BlockRow(block, 0, 0, 0, 0, {}) for block in blocks]
    with pytest.raises(NoValidPixelError):
        finish(tmp_path, grid, empty, SOURCES, {}, formats)
    with pytest.raises(UsageError, match="shp"):
        finish(tmp_path, grid, rows, SOURCES, {}, ("shp",))
