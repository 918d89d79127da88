"""`buildext misalign`: true metres in any CRS, masks by their blobs, errors in plain words."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine

from buildext.simulate.layer import Layer, read_layer, write_layer
from tests.cli.conftest import Call


def write(path: Path, crs: str, polygons: list[shapely.Geometry], **fields: list[float]) -> Path:
    columns = {name: np.array(values) for name, values in fields.items()}
    write_layer(path, Layer(pyproj.CRS(crs), np.array(polygons), columns), "roofs", {})
    return path


@pytest.fixture
def roofs(tmp_path: Path) -> Path:
    boxes = [shapely.box(x, 5_000_000, x + 10, 5_000_008) for x in (500_000, 500_050, 500_100)]
    return write(tmp_path / "roofs.gpkg", "EPSG:32633", boxes, height_m=[10.0, 20.0, 30.0])


def test_roofs_become_footprints(call: Call, roofs: Path, out: Path) -> None:
    done = call(
        "misalign", roofs, "-o", out / "m.gpkg", "--off-nadir", 30, "--azimuth", 180,
        "--height-field", "height_m",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert "3 labels of 3 buildings" in done.stdout
    moved = read_layer(out / "m.gpkg")
    expected = -np.array([10, 20, 30]) * math.tan(math.radians(30))
    assert moved.fields["north_m"] == pytest.approx(expected)
    assert moved.fields["east_m"] == pytest.approx(0.0, abs=1e-9)
    assert moved.fields["height_m"].tolist() == [10, 20, 30]
    assert shapely.bounds(moved.polygons)[:, 1] - 5_000_000 == pytest.approx(expected, abs=1e-6)
    meta = pyogrio.read_info(out / "m.gpkg")["layer_metadata"]
    assert json.loads(meta["buildext"])["misalign"]["errors"]["azimuth_deg"] == 180


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326"])
def test_metres_are_true_in_any_crs(call: Call, tmp_path: Path, out: Path, crs: str) -> None:
    to = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    corners = [(10.0, 60.0), (10.0002, 60.0), (10.0002, 60.0001), (10.0, 60.0001)]
    roof = shapely.Polygon([to.transform(*corner) for corner in corners])
    labels = write(tmp_path / "r.gpkg", crs, [roof])
    done = call("misalign", labels, "-o", out / "m.gpkg", "--shift", 30, 40)
    assert done.code == 0, done.stderr
    moved = read_layer(out / "m.gpkg")
    assert moved.crs == pyproj.CRS(crs)
    back = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    x, y = moved.polygons[0].exterior.coords[0]
    # The ring may start anywhere: compare the lower left corners.
    west, south, *_ = moved.polygons[0].bounds
    lon0, lat0 = back.transform(*roof.bounds[:2])
    lon1, lat1 = back.transform(west, south)
    assert np.isfinite((x, y)).all()
    assert pyproj.Geod(ellps="WGS84").inv(lon0, lat0, lon1, lat1)[2] == pytest.approx(50, rel=2e-2)


def test_blobs_of_a_mask_each_move_in_one_piece(call: Call, tmp_path: Path, out: Path) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[10:20, 10:30] = mask[20:30, 10:16] = 1
    mask[40:50, 50:60] = 1
    path = tmp_path / "mask.tif"
    profile = {"driver": "GTiff", "height": 60, "width": 80, "count": 1, "dtype": "uint8"}
    grid = Affine(0.5, 0, 300_000, 0, -0.5, 600_000)
    with rasterio.open(path, "w", **profile, crs="EPSG:32630", transform=grid) as file:
        file.write(mask, 1)
    done = call("misalign", path, "-o", out / "m.gpkg", "--block-range", 2, 3, "--block-size", 8)
    assert done.code == 0, done.stderr
    moved = read_layer(out / "m.gpkg")
    assert sorted(shapely.area(moved.polygons)) == [25.0, 65.0]
    lengths = np.hypot(moved.fields["east_m"], moved.fields["north_m"])
    assert ((lengths >= 2) & (lengths <= 3)).all() and lengths[0] != lengths[1]
    clean = read_layer(path).polygons[moved.fields["id"]]
    centres = [shapely.get_coordinates(shapely.centroid(p)) for p in (clean, moved.polygons)]
    steps = np.column_stack([moved.fields["east_m"], moved.fields["north_m"]])
    assert centres[1] - centres[0] == pytest.approx(steps, abs=1e-6)


def test_labels_left_alone_are_unchanged(call: Call, roofs: Path, out: Path) -> None:
    assert call("misalign", roofs, "-o", out / "m.gpkg", "-q").code == 0
    before, after = read_layer(roofs), read_layer(out / "m.gpkg")
    assert shapely.equals_exact(before.polygons, after.polygons, 1e-9).all()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--off-nadir", 60], 2, "below 60°"),
        (["--height-field", "storeys"], 2, "it has height_m"),
        (["--block-sigma", 1, "--block-range", 1, 2], 2, "both or neither"),
        (["--missing", 2], 2, "0 to 1"),
        (["--layer", "walls"], 2, "it has roofs"),
    ],
)
def test_bad_options(
    call: Call, roofs: Path, out: Path, args: list[object], code: int, words: str
) -> None:
    done = call("misalign", roofs, "-o", out / "m.gpkg", *args)
    assert done.code == code and words in done.stderr
    assert not list(out.iterdir())


def test_bad_files(call: Call, tmp_path: Path, out: Path) -> None:
    output = out / "m.gpkg"
    roof = shapely.box(500_000, 5_000_000, 500_010, 5_000_010)
    below = write(tmp_path / "below.gpkg", "EPSG:32633", [roof], height_m=[-3.0])
    done = call("misalign", below, "-o", output, "--height-field", "height_m")
    assert done.code == 3 and "-3 m in row 0" in done.stderr
    empty = write(tmp_path / "empty.gpkg", "EPSG:32633", [])
    done = call("misalign", empty, "-o", output)
    assert done.code == 3 and "holds no building" in done.stderr
    bare = tmp_path / "bare.geojson"
    bare.write_text("hello")
    assert call("misalign", bare, "-o", output).code == 3
    assert call("misalign", tmp_path / "none.gpkg", "-o", output).code == 3
    assert call("misalign", below, "-o", out / "m.shp").code == 2
    assert call("misalign", below, "-o", output).code == 0
    assert call("misalign", below, "-o", output).code == 2
    lines = tmp_path / "lines.gpkg"
    wkb = shapely.to_wkb(np.array([shapely.LineString([(0, 0), (1, 1)])]))
    pyogrio.raw.write(lines, wkb, [], [], crs="EPSG:32633", geometry_type="LineString")
    done = call("misalign", lines, "-o", output, "--overwrite")
    assert done.code == 3 and "linestring" in done.stderr
