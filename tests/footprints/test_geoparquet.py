from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely

from buildext.footprints import geoparquet
from buildext.footprints.features import polygons_of
from buildext.footprints.read_geoparquet import open_geoparquet
from buildext.footprints.write import open_writer
from tests.footprints.made import UTM, many_features, three_features


def test_the_geo_metadata_is_that_of_version_1_1(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with open_writer(path, UTM, metadata={"model": "m"}) as writer:
        writer.write(three_features())
    metadata = pq.read_metadata(path)
    geo = json.loads(metadata.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    column = geo["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert column["orientation"] == "counterclockwise"
    assert pyproj.CRS.from_json_dict(column["crs"]).to_epsg() == 32633
    assert column["bbox"] == pytest.approx(shapely.total_bounds(polygons_of(three_features())))
    assert column["covering"]["bbox"] == {
        side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")
    }
    assert json.loads(metadata.metadata[b"buildext"]) == {"model": "m"}
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_covering_column_holds_each_bounding_box(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with open_writer(path, UTM, metadata={}) as writer:
        writer.write(three_features())
    boxes = [tuple(box.values()) for box in pq.read_table(path)["bbox"].to_pylist()]
    np.testing.assert_array_equal(boxes, shapely.bounds(polygons_of(three_features())))


def test_row_groups_are_full_but_for_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geoparquet, "ROW_GROUP_FEATURES", 1000)
    path = tmp_path / "out.parquet"
    with open_writer(path, UTM, metadata={}) as writer:
        for index in range(9):
            writer.write(many_features(250, 1 + 250 * index))
    metadata = pq.read_metadata(path)
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [1000, 1000, 250]
    assert pq.read_table(path)["id"].to_pylist() == list(range(1, 2251))


def test_a_reader_can_skip_by_bounding_box(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with open_writer(path, UTM, metadata={}) as writer:
        writer.write(many_features(500))
    west, south, east, north = polygons_of(many_features(1, 42))[0].bounds
    box = [pc.field("bbox", side) for side in ("xmin", "ymin", "xmax", "ymax")]
    touches = (box[0] < east) & (box[1] < north) & (box[2] > west) & (box[3] > south)
    assert pq.read_table(path, filters=touches)["id"].to_pylist() == [42]


def test_what_was_written_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with open_writer(path, UTM, metadata={}) as writer:
        writer.write(three_features())
    file, column = open_geoparquet(path)
    with file:
        assert (column.name, column.box) == ("geometry", "bbox")
        assert column.crs is not None and pyproj.CRS(column.crs).to_epsg() == 32633
        assert file.read()["id"].to_pylist() == [1, 2, 3]
