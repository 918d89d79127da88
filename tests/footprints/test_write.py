from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import shapely
from rasterio.crs import CRS

from buildext.errors import (
    DiskFullError,
    NotWritableError,
    OutputError,
    OutputExistsError,
    UsageError,
)
from buildext.footprints.features import FEATURE_SCHEMA, polygons_of
from buildext.footprints.write import FORMATS, open_writer
from tests.footprints.made import UTM, many_features, rows_of, small_disk, three_features

SETTINGS = {"model": "default", "threshold": 0.5, "bands": [1, 2, 3], "note": 'ä "quoted" <tag>'}
EVERY = sorted(FORMATS)
KEEPS_CRS = [".gpkg", ".parquet", ".fgb"]


def write(path: Path, *batches: pa.RecordBatch, crs: Any = UTM, **options: Any) -> Path:
    with open_writer(path, crs, metadata=SETTINGS, **options) as writer:
        for batch in batches:
            writer.write(batch)
    return path


def read(path: Path) -> tuple[dict[str, Any], pa.Table, list[Any]]:
    """What pyogrio says of a file, its attributes and its polygons."""
    layer = "footprints" if path.suffix == ".gpkg" else None
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return {}, table, list(shapely.from_wkb(table["geometry"].to_pylist()))
    info, table = pyogrio.read_arrow(path, layer=layer)
    name = info["geometry_name"] or "wkb_geometry"
    return info, table, list(shapely.from_wkb(table[name].to_pylist()))


@pytest.mark.parametrize("suffix", KEEPS_CRS)
def test_features_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    batch = three_features()
    info, table, polygons = read(write(tmp_path / f"out{suffix}", batch))
    assert sorted(rows_of(table), key=lambda row: row["id"]) == [
        {k: v for k, v in row.items() if k != "geometry"} for row in batch.to_pylist()
    ]
    order = np.argsort(table["id"].to_numpy())
    for got, wanted in zip(np.array(polygons)[order], polygons_of(batch), strict=True):
        assert shapely.normalize(got).equals_exact(shapely.normalize(wanted), 0)
        assert len(got.interiors) == len(wanted.interiors)
    if info:
        assert info["crs"] == UTM
        assert info["geometry_type"] == "Polygon"


def test_geojson_is_rfc_7946(tmp_path: Path) -> None:
    batch = three_features()
    text = write(tmp_path / "out.geojson", batch).read_text()
    collection = json.loads(text)
    assert "crs" not in collection
    assert collection["buildext"] == SETTINGS
    to_lonlat = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    for feature, wanted in zip(collection["features"], polygons_of(batch), strict=True):
        rings = feature["geometry"]["coordinates"]
        shell, *holes = [shapely.LinearRing(ring) for ring in rings]
        assert shell.is_ccw
        assert not any(hole.is_ccw for hole in holes)
        expected = shapely.transform(wanted, to_lonlat.transform, interleaved=False)
        got = shapely.Polygon(shell, holes)
        assert got.hausdorff_distance(expected) < 1e-6  # 7 decimals, 1 cm
        assert 14.9 < rings[0][0][0] < 15.1  # longitude first
        assert all(len(str(value).split(".")[1]) <= 7 for value in np.ravel(rings[0]))
    first = collection["features"][0]["properties"]
    assert first["id"] == 1
    assert first["confidence"] == 0.9124
    assert first["touches_edge"] is False


def test_pmtiles_hold_web_mercator_tiles(tmp_path: Path) -> None:
    path = write(tmp_path / "out.pmtiles", three_features())
    info = pyogrio.read_info(path)
    assert info["crs"] == "EPSG:3857"
    assert info["layer_name"] == "footprints"
    metadata = info["dataset_metadata"]
    assert (metadata["minzoom"], metadata["maxzoom"]) == ("12", "15")
    assert json.loads(metadata["description"])["buildext"] == SETTINGS
    _, table, polygons = read(path)
    assert {row["id"] for row in rows_of(table)} == {1, 2, 3}
    to_mercator = pyproj.Transformer.from_crs(UTM, "EPSG:3857", always_xy=True)
    expected = shapely.union_all(
        shapely.transform(polygons_of(three_features()), to_mercator.transform, interleaved=False)
    )
    assert shapely.union_all(polygons).hausdorff_distance(expected) < 1.0  # steps of 0.3 m
    assert any(part.interiors for multi in polygons for part in multi.geoms)


def test_geopackage_has_index_extent_and_metadata(tmp_path: Path) -> None:
    path = write(tmp_path / "out.gpkg", three_features(), layer="roofs")
    bounds = shapely.total_bounds(polygons_of(three_features()))
    with contextlib.closing(sqlite3.connect(path)) as database:
        (extent,) = database.execute(
            "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = 'roofs'"
        )
        (indexed,) = database.execute("SELECT count(*) FROM rtree_roofs_geom")
        (healthy,) = database.execute("PRAGMA integrity_check")
    assert extent == pytest.approx(bounds)
    assert indexed == (3,)
    assert healthy == ("ok",)
    info = pyogrio.read_info(path, layer="roofs")
    assert json.loads(info["layer_metadata"]["buildext"]) == SETTINGS
    # Reading leaves nothing beside the file.
    assert list(tmp_path.iterdir()) == [path]


def test_flatgeobuf_holds_the_settings_and_an_index(tmp_path: Path) -> None:
    path = write(tmp_path / "out.fgb", many_features(500))
    info = pyogrio.read_info(path)
    assert json.loads(info["layer_metadata"]["buildext"]) == SETTINGS
    assert info["capabilities"]["fast_spatial_filter"]
    west, _, east, north = polygons_of(many_features(1))[0].bounds
    found = pyogrio.raw.read(path, bbox=(west, north - 1, east, north))[2]
    assert len(found) == 1


@pytest.mark.parametrize("suffix", EVERY)
def test_no_feature_gives_a_valid_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write(path)
    if suffix == ".geojson":
        assert json.loads(path.read_text())["features"] == []
    elif suffix == ".pmtiles":
        info = pyogrio.read_info(path)
        assert (info["layer_name"], info["features"]) == ("footprints", 0)
    else:
        _, table, _ = read(path)
        assert len(table) == 0
        assert set(FEATURE_SCHEMA.names) - {"geometry"} <= set(table.column_names)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", KEEPS_CRS)
@pytest.mark.parametrize(
    "crs",
    [
        CRS.from_epsg(4326),
        CRS.from_epsg(2263),
        CRS.from_proj4("+proj=tmerc +lat_0=1 +lon_0=2 +k=1 +x_0=3 +y_0=4 +ellps=bessel +units=m"),
        None,
    ],
    ids=["degrees", "feet", "unnamed", "none"],
)
def test_the_crs_comes_back(tmp_path: Path, suffix: str, crs: CRS | None) -> None:
    path = write(tmp_path / f"out{suffix}", three_features(), crs=crs)
    if suffix == ".parquet":
        geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
        stored = geo["columns"]["geometry"]["crs"]
    else:
        stored = read(path)[0]["crs"]
    if crs is None:
        # A GeoPackage has a name for "no CRS".
        assert stored is None or "Undefined" in stored
    else:
        assert pyproj.CRS(stored).to_2d().equals(pyproj.CRS(crs), ignore_axis_order=True)


@pytest.mark.parametrize("suffix", [".geojson", ".pmtiles"])
def test_a_format_with_a_fixed_crs_needs_one(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UsageError, match="without CRS"):
        write(tmp_path / f"out{suffix}", crs=None)
    assert not list(tmp_path.iterdir())


def test_an_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        write(tmp_path / "out.shp")
    assert all(suffix in str(caught.value) for suffix in FORMATS)


@pytest.mark.parametrize("suffix", EVERY)
def test_an_existing_file_is_kept_unless_asked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("precious")
    with pytest.raises(OutputExistsError):
        write(path, three_features())
    assert path.read_text() == "precious"
    write(path, three_features(), overwrite=True)
    assert path.read_bytes()[:8] != b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_stale_journals_of_a_replaced_geopackage_go(tmp_path: Path) -> None:
    """SQLite would replay a journal that it finds beside the new file."""
    path = write(tmp_path / "out.gpkg", three_features())
    for suffix in ("-wal", "-shm", "-journal"):
        (tmp_path / f"out.gpkg{suffix}").write_bytes(b"stale")
    write(path, three_features(), overwrite=True)
    assert list(tmp_path.iterdir()) == [path]


class Interrupted(BaseException):
    """Like KeyboardInterrupt, no Exception."""


@pytest.mark.parametrize("suffix", EVERY)
@pytest.mark.parametrize("batches", [0, 1, 12])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, suffix: str, batches: int) -> None:
    before = threading.active_count()
    with (
        pytest.raises(Interrupted),
        open_writer(tmp_path / f"out{suffix}", UTM, metadata=SETTINGS) as writer,
    ):
        for index in range(batches):
            writer.write(many_features(100, 100 * index))
        raise Interrupted
    assert not list(tmp_path.iterdir())
    assert threading.active_count() == before


@pytest.mark.parametrize("suffix", EVERY)
def test_an_interrupted_run_keeps_the_file_it_was_to_replace(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("precious")
    with (
        pytest.raises(Interrupted),
        open_writer(path, UTM, metadata=SETTINGS, overwrite=True) as writer,
    ):
        writer.write(three_features())
        raise Interrupted
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
def test_what_the_driver_cannot_write_is_an_output_error(tmp_path: Path, suffix: str) -> None:
    """Bytes that are no geometry make the driver fail in its own thread."""
    good = three_features()
    spoilt = good.set_column(
        good.schema.get_field_index("geometry"),
        FEATURE_SCHEMA.field("geometry"),
        pa.array([b"no geometry"] * 3, pa.binary()),
    )
    with (
        pytest.raises((OutputError, shapely.errors.GEOSException)),
        open_writer(tmp_path / f"out{suffix}", UTM, metadata=SETTINGS) as writer,
    ):
        for _ in range(100):
            writer.write(spoilt)
            time.sleep(0.001)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(NotWritableError):
        write(tmp_path / "missing" / "out.gpkg")


@pytest.mark.parametrize(
    ("suffix", "kilobytes"),
    [
        (".gpkg", 60),
        (".gpkg", 600),
        (".gpkg", 1000),  # room for the features, none for their index
        (".parquet", 60),
        (".fgb", 200),
        (".fgb", 1200),  # room for the features, none for the final order
        (".geojson", 200),
        (".pmtiles", 400),
    ],
)
def test_a_full_disk_is_an_error_and_leaves_nothing(
    tmp_path: Path, suffix: str, kilobytes: int
) -> None:
    with small_disk(tmp_path / "small", kilobytes) as folder:
        with pytest.raises(DiskFullError):
            write(folder / f"out{suffix}", *(many_features(500, 500 * i) for i in range(10)))
        assert not list(folder.iterdir())


def test_features_reach_the_file_while_the_run_goes_on(tmp_path: Path) -> None:
    """Memory stays bounded because the writer does not wait for the end."""
    with open_writer(tmp_path / "out.gpkg", UTM, metadata=SETTINGS) as writer:
        deadline = time.monotonic() + 60
        for index in range(40):
            writer.write(many_features(500, 500 * index))
        while time.monotonic() < deadline:
            if sum(file.stat().st_size for file in tmp_path.iterdir()) > 100_000:
                break
            time.sleep(0.01)
        else:
            pytest.fail("nothing was written before the end")
