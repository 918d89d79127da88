"""`buildext simulate`: a folder of truth that holds together, from files of many kinds."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from buildext.simulate.layer import Layer, read_layer, write_layer
from tests.cli.conftest import Call
from tests.real import ROOT
from tests.simulate.scenes import CRS, NORTH, WEST, write_boxes

CITY = ROOT / "datasets" / "melbourne_city" / "tiers.gpkg"
QUARTER = "320200,5812850,320320,5812950"


@pytest.fixture(scope="module")
def quarter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of the bundled city at 20°, footprints shifted block by block."""
    from buildext.cli.main import run

    folder = tmp_path_factory.mktemp("city") / "quarter"
    args = ["simulate", str(CITY), "-o", str(folder), "--off-nadir", "20", "--azimuth", "60"]
    args += ["--extent", QUARTER, "--block-range", "1", "2", "--missing", "0.1", "-q"]
    assert run(args) == 0
    return folder


def test_the_folder_is_complete_and_says_how_it_was_made(quarter: Path) -> None:
    record = json.loads((quarter / "simulation.json").read_text())
    names = {path.name for path in quarter.iterdir()}
    assert names == set(record["sha256"]) | {"simulation.json"}
    for name, digest in record["sha256"].items():
        assert hashlib.sha256((quarter / name).read_bytes()).hexdigest() == digest
    assert record["off_nadir_deg"] == 20 and record["seed"] == 0
    with rasterio.open(quarter / "scene.tif") as scene:
        assert (scene.width, scene.height, scene.count) == (401, 334, 3)
        assert scene.crs.to_epsg() == 28355 and scene.res == (0.3, 0.3)
        assert 60 < scene.read().mean() < 180


def test_masks_and_polygons_agree(quarter: Path) -> None:
    with rasterio.open(quarter / "instances.tif") as file:
        instances, transform = file.read(1), file.transform
    with rasterio.open(quarter / "roof.tif") as file:
        roof = file.read(1) == 1
    with rasterio.open(quarter / "facade.tif") as file:
        facade = file.read(1) == 1
    assert (roof == (instances > 0)).all()
    assert not (roof & facade).any() and facade.mean() > 0.05
    roofs = read_layer(quarter / "roofs.gpkg")
    burned = rasterize(roofs.polygons, out_shape=roof.shape, transform=transform) == 1
    assert (burned & roof).sum() / (burned | roof).sum() > 0.97
    assert set(roofs.fields["outline"]) == {"traced"}


def test_steps_lead_from_roofs_to_footprints(quarter: Path) -> None:
    tiers, labels = read_layer(quarter / "tiers.gpkg"), read_layer(quarter / "footprints.gpkg")
    flat = tiers.fields["roof_type"] == "flat"
    lengths = np.hypot(tiers.fields["east_m"], tiers.fields["north_m"])
    expected = tiers.fields["height_m"] * math.tan(math.radians(20))
    assert lengths == pytest.approx(expected)
    assert flat.any()
    # The sensor stands at 60°: the footprint lies north-east of the roof.
    tall = lengths > 1
    angle = np.degrees(np.arctan2(tiers.fields["east_m"], tiers.fields["north_m"]))
    assert angle[tall] == pytest.approx(60.0)
    errors = np.hypot(labels.fields["error_east_m"], labels.fields["error_north_m"])
    assert ((errors >= 1 - 1e-9) & (errors <= 2 + 1e-9)).all()
    lean = labels.fields["roof_m"] * math.tan(math.radians(20))
    step = labels.fields["east_m"] - labels.fields["error_east_m"]
    assert step == pytest.approx(lean * math.sin(math.radians(60)))


def test_the_same_seed_gives_the_same_files_however_the_work_is_cut(
    quarter: Path, call: Call, out: Path
) -> None:
    done = call("simulate", CITY, "-o", out / "again", "--off-nadir", 20, "--azimuth", 60,
                "--extent", QUARTER, "--block-range", 1, 2, "--missing", 0.1,
                "--tile", 512, "--workers", 1)  # fmt: skip
    assert done.code == 0, done.stderr
    assert "401 x 334 px" in done.stdout
    first = json.loads((quarter / "simulation.json").read_text())["sha256"]
    again = json.loads((out / "again" / "simulation.json").read_text())["sha256"]
    assert len(first) == 8
    assert first == again


def test_corners_of_roofs_lie_where_the_formula_says(call: Call, tmp_path: Path, out: Path) -> None:
    boxes = write_boxes(tmp_path / "b.gpkg", [6.0, 18.0, 30.0])
    extent = f"{WEST - 20},{NORTH - 50},{WEST + 120},{NORTH + 20}"
    done = call("simulate", boxes, "-o", out / "s", "--off-nadir", 35, "--azimuth", 0,
                "--gsd", 0.25, "--extent", extent, "--jpeg", 0)  # fmt: skip
    assert done.code == 0, done.stderr
    with rasterio.open(out / "s" / "instances.tif") as file:
        instances = file.read(1)
    roofs = read_layer(out / "s" / "roofs.gpkg")
    assert (roofs.fields["outline"] == "exact").all()
    step = np.column_stack([roofs.fields["east_m"], roofs.fields["north_m"]])
    back = shapely.centroid(read_layer(boxes).polygons)
    found = shapely.get_coordinates(shapely.centroid(roofs.polygons)) + step
    assert found == pytest.approx(shapely.get_coordinates(back), abs=1e-6)
    for k, height_m in enumerate((6.0, 18.0, 30.0)):
        rows, cols = np.nonzero(instances == k + 1)
        # The sensor stands in the north: roofs lean southwards.
        shift_px = height_m * math.tan(math.radians(35)) / 0.25
        corners = [cols.min(), cols.max() + 1, rows.min(), rows.max() + 1]
        x = (20 + 40 * k) / 0.25
        expected = [x, x + 80, 80 + shift_px, 144 + shift_px]
        assert corners == pytest.approx(expected, abs=0.5)


def test_a_frame_camera_sees_every_tile_under_its_own_angle(
    call: Call, tmp_path: Path, out: Path
) -> None:
    boxes = write_boxes(tmp_path / "b.gpkg", [6.0, 18.0, 30.0])
    extent = f"{WEST - 200},{NORTH - 200},{WEST + 208},{NORTH + 208}"
    done = call("simulate", boxes, "-o", out / "s", "--off-nadir", 0, "--camera-height", 500,
                "--gsd", 0.2, "--extent", extent)  # fmt: skip
    assert done.code == 0, done.stderr
    tiles = read_layer(out / "s" / "tiles.gpkg")
    middle = np.array([WEST + 4, NORTH + 4])
    away = middle - shapely.get_coordinates(shapely.centroid(tiles.polygons))
    expected = np.degrees(np.arctan(np.hypot(*away.T) / 500))
    assert tiles.fields["off_nadir_deg"] == pytest.approx(expected, rel=0.01)


def test_degrees_become_metres(call: Call, tmp_path: Path, out: Path) -> None:
    box = np.array([shapely.box(15.0, 45.0, 15.0004, 45.0003)])
    path = tmp_path / "degrees.gpkg"
    write_layer(path, Layer(pyproj.CRS("EPSG:4326"), box, {"height": np.array([9.0])}), "b", {})
    assert call("simulate", path, "-o", out / "s", "-q").code == 0
    with rasterio.open(out / "s" / "scene.tif") as scene:
        assert scene.crs.to_epsg() == 32633


def test_tiers_by_named_fields(call: Call, tmp_path: Path, out: Path) -> None:
    fields = {"low": [100.0, 110.0], "high": [110.0, 140.0], "house": [1.0, 1.0]}
    boxes = write_boxes(tmp_path / "b.gpkg", [0.0, 0.0], **fields)
    done = call("simulate", boxes, "-o", out / "s", "--base-field", "low", "--top-field", "high",
                "--structure-field", "house", "-q")  # fmt: skip
    assert done.code == 0, done.stderr
    tiers = read_layer(out / "s" / "tiers.gpkg")
    assert sorted(tiers.fields["height_m"]) == [10, 40]
    assert sorted(tiers.fields["base_m"]) == [0, 10]
    assert read_layer(out / "s" / "roofs.gpkg").fields["height_m"].tolist() == [40]


def test_textures_are_cut_from_a_scene(call: Call, tmp_path: Path, out: Path) -> None:
    real = ROOT / "datasets" / "zanzibar_b"
    boxes = write_boxes(tmp_path / "b.gpkg", [6.0, 9.0])
    args = ["simulate", boxes, "-q", "--extent", f"{WEST},{NORTH - 60},{WEST + 60},{NORTH}"]
    pair = ["--texture", real / "scene.tif", real / "buildings.gpkg"]
    assert call(*args, "-o", out / "plain").code == 0
    assert call(*args, "-o", out / "cut", *pair).code == 0
    images = []
    for name in ("plain", "cut"):
        with rasterio.open(out / name / "scene.tif") as scene:
            images.append(scene.read())
    assert (images[0] != images[1]).mean() > 0.2


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--off-nadir", 60], 2, "below 60°"),
        (["--sun-elevation", 2], 2, "above 5°"),
        (["--camera-height", 20], 2, "a camera 20 m above the ground"),
        (["--extent", "1,2,3"], 2, "expected west,south,east,north"),
        (["--gsd", 0], 2, "0.02 to 10 m"),
        (["--tile", 500], 2, "multiple of 512"),
        (["--jpeg", 101], 2, "1 to 100"),
        (["--height-field", "storeys"], 2, "it has height_m"),
        (["--base-field", "height_m"], 3, "expected both"),
    ],
)
def test_bad_options(
    call: Call, tmp_path: Path, out: Path, args: list[object], code: int, words: str
) -> None:
    boxes = write_boxes(tmp_path / "b.gpkg", [6.0])
    done = call("simulate", boxes, "-o", out / "s", *args)
    assert done.code == code and words in done.stderr, done.stderr
    assert not list(out.iterdir())


def test_bad_files(call: Call, tmp_path: Path, out: Path) -> None:
    folder = out / "s"
    unknown = write_boxes(tmp_path / "unknown.gpkg", [1.0], storeys=[3.0], use=[1.0])
    done = call("simulate", unknown, "-o", folder)
    assert done.code == 3 and "they have storeys, use" in done.stderr
    below = write_boxes(tmp_path / "below.gpkg", [4.0, -2.0])
    done = call("simulate", below, "-o", folder)
    assert done.code == 3 and "-2 m in row 1" in done.stderr
    empty = write_boxes(tmp_path / "empty.gpkg", [])
    done = call("simulate", empty, "-o", folder)
    assert done.code == 3 and "holds no building" in done.stderr
    nowhere = tmp_path / "nowhere.fgb"
    import pyogrio

    wkb = shapely.to_wkb(np.array([shapely.box(0, 0, 9, 9)]))
    with pytest.warns(UserWarning, match="crs"):
        pyogrio.raw.write(nowhere, wkb, [np.array([5.0])], ["height_m"], geometry_type="Polygon")
    done = call("simulate", nowhere, "-o", folder)
    assert done.code == 3 and "has no CRS" in done.stderr
    assert not list(out.iterdir())


def test_only_a_simulation_is_overwritten(call: Call, tmp_path: Path, out: Path) -> None:
    boxes = write_boxes(tmp_path / "b.gpkg", [6.0])
    precious = out / "photographs"
    precious.mkdir()
    (precious / "one.jpg").write_text("dear to somebody")
    done = call("simulate", boxes, "-o", precious, "--overwrite")
    assert done.code == 2 and "not a simulation" in done.stderr
    assert (precious / "one.jpg").read_text() == "dear to somebody"
    assert call("simulate", boxes, "-o", out / "s", "-q").code == 0
    assert call("simulate", boxes, "-o", out / "s", "-q").code == 2
    done = call("simulate", boxes, "-o", out / "s", "--overwrite", "--progress", "json")
    assert done.code == 0
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["event"] == "result" and result["structures"] == 1
    assert CRS == "EPSG:32633"
