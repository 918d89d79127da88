"""`buildext align`: real labels, led astray and brought back by the real model."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyogrio
import pyproj
import pytest
import rasterio
import shapely

from buildext.align.labels import Labels, read_labels, write_labels
from tests import real
from tests.cli.conftest import Call

TRUTH = real.ROOT / "datasets" / "kampala_b" / "buildings.gpkg"
# The bundled scene is in web Mercator on the equator: its metres are true to a thousandth.
EAST_M, NORTH_M = 2.4, -1.7


def astray(path: Path, crs: str = "EPSG:3857", dx: float = -EAST_M, dy: float = -NORTH_M) -> Path:
    """The true labels moved by metres of web Mercator, in any CRS, with fields of several types."""
    true = read_labels(TRUTH)
    wrong = shapely.transform(true.polygons, lambda xy: xy + np.array([dx, dy]))
    project = pyproj.Transformer.from_crs("EPSG:3857", crs, always_xy=True)
    there = shapely.transform(wrong, lambda xy: np.column_stack(project.transform(*xy.T)))
    fields = pa.table(
        {
            "name": [f"house {i}" for i in range(len(wrong))],
            "levels": pa.array([1] * (len(wrong) - 1) + [None], pa.int32()),
            "confidence": [0.123] * len(wrong),
        }
    )
    write_labels(path, Labels(pyproj.CRS(crs), there, fields), "labels", {})
    return path


def residuals_m(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each label from its true place, and which were moved."""
    found = read_labels(path)
    project = pyproj.Transformer.from_crs(found.crs, "EPSG:3857", always_xy=True)
    there = shapely.transform(found.polygons, lambda xy: np.column_stack(project.transform(*xy.T)))
    # FlatGeobuf sorts its features along a curve: their names tell which is which.
    true = read_labels(TRUTH).polygons[
        [int(n.split()[1]) for n in found.fields["name"].to_pylist()]
    ]
    apart = shapely.distance(shapely.centroid(there), shapely.centroid(true))
    return apart, found.fields["align_status"].to_numpy() == "moved"


def test_labels_come_back_to_their_roofs(call: Call, tmp_path: Path, out: Path) -> None:
    labels = astray(tmp_path / "old.gpkg")
    done = call(
        "align", real.SCENE, labels, "-o", out / "a.gpkg", "--new", out / "new.gpkg",
        "--gsd", 0.25, "--progress", "json",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    apart, moved = residuals_m(out / "a.gpkg")
    assert result["event"] == "result" and result["labels"] == len(apart) == 98
    assert result["moved"] == moved.sum() > 80
    assert result["median_shift_m"] == pytest.approx(np.hypot(EAST_M, NORTH_M), abs=0.3)
    assert np.median(apart) < 0.5 and (apart[moved] < 1).mean() > 0.8

    fields = read_labels(out / "a.gpkg").fields
    assert fields.column_names == [
        "name",
        "levels",
        "east_m",
        "north_m",
        "confidence",
        "align_status",
    ]
    assert fields["name"].to_pylist() == [f"house {i}" for i in range(98)]
    assert fields["levels"].type == pa.int32() and fields["levels"].to_pylist()[-2:] == [1, None]
    assert np.median(fields["east_m"].to_numpy()[moved]) == pytest.approx(EAST_M, abs=0.3)
    assert np.median(fields["north_m"].to_numpy()[moved]) == pytest.approx(NORTH_M, abs=0.3)
    shapes = read_labels(out / "a.gpkg").polygons
    assert shapely.area(shapes) == pytest.approx(shapely.area(read_labels(labels).polygons))
    assert result["new"] == pyogrio.read_info(out / "new.gpkg")["features"]
    meta = json.loads(pyogrio.read_info(out / "a.gpkg")["layer_metadata"]["buildext"])
    assert meta["align"]["max_shift_m"] == 10 and meta["model"]["name"] == "default"
    assert sorted(path.name for path in out.iterdir()) == ["a.gpkg", "new.gpkg"]


@pytest.mark.parametrize(("crs", "suffix"), [("EPSG:4326", ".fgb"), ("EPSG:32636", ".parquet")])
def test_labels_keep_their_crs_and_metres_are_true(
    call: Call, tmp_path: Path, out: Path, crs: str, suffix: str
) -> None:
    labels = astray(tmp_path / f"old{suffix}", crs)
    done = call(
        "align", real.SCENE, labels, "-o", out / f"a{suffix}", "--gsd", 0.5, "--max-shift", 4, "-q"
    )
    assert done.code == 0, done.stderr
    found = read_labels(out / f"a{suffix}")
    assert found.crs.equals(pyproj.CRS(crs), ignore_axis_order=True)
    apart, moved = residuals_m(out / f"a{suffix}")
    assert moved.sum() > 60 and np.median(apart[moved]) < 0.8
    steps = np.hypot(found.fields["east_m"].to_numpy(), found.fields["north_m"].to_numpy())
    assert steps.max() <= 4.001 and (steps[~moved] == 0).all()
    assert np.median(found.fields["east_m"].to_numpy()[moved]) == pytest.approx(EAST_M, abs=0.5)


def test_labels_elsewhere_are_refused_with_both_extents(
    call: Call, tmp_path: Path, out: Path
) -> None:
    labels = astray(tmp_path / "far.gpkg", "EPSG:4326", dx=900_000)
    done = call("align", real.SCENE, labels, "-o", out / "a.gpkg", "--gsd", 0.5)
    assert done.code == 3
    (line,) = done.error_lines()
    assert "outside the image" in line and line.count(" to ") >= 4 and "Mercator" in line
    assert list(out.iterdir()) == []


def test_bad_labels_are_told_before_the_network_runs(call: Call, tmp_path: Path, out: Path) -> None:
    true = read_labels(TRUTH)
    none = Labels(true.crs, true.polygons[:0], true.fields.slice(0, 0))
    write_labels(tmp_path / "empty.gpkg", none, "labels", {})
    wkb = shapely.to_wkb(np.array([shapely.Point(0, 0)]))
    for name, crs in (("points.gpkg", "EPSG:3857"), ("no_crs.gpkg", None)):
        shapes = wkb if crs else shapely.to_wkb(true.polygons)
        kind = "Point" if crs else "Polygon"
        warned = pytest.warns(UserWarning, match="crs") if crs is None else nullcontext()
        with warned:
            pyogrio.raw.write(tmp_path / name, shapes, [], [], geometry_type=kind, crs=crs)
    (tmp_path / "text.gpkg").write_text("no layer")
    for name, part in {
        "empty.gpkg": "holds no building",
        "points.gpkg": "point; expected polygons",
        "no_crs.gpkg": "no CRS",
        "text.gpkg": "cannot be read",
        "absent.gpkg": "no such file",
    }.items():
        done = call("align", real.SCENE, tmp_path / name, "-o", out / "a.gpkg")
        assert done.code == 3 and part in done.error_lines()[0], (name, done.stderr)
    assert list(out.iterdir()) == []


def test_outputs_are_checked_first(call: Call, tmp_path: Path, out: Path) -> None:
    labels = astray(tmp_path / "old.gpkg")
    (out / "a.gpkg").write_text("mine")
    assert call("align", real.SCENE, labels, "-o", out / "a.gpkg").code == 2
    assert (out / "a.gpkg").read_text() == "mine"
    assert call("align", real.SCENE, labels, "-o", out / "a.shp").code == 2
    assert call("align", real.SCENE, labels, "-o", out / "b.gpkg", "--max-shift", 0).code == 2
    assert call("align", real.SCENE, labels, "-o", out / "b.gpkg", "--layer", "no").code == 2


def test_a_scene_without_a_valid_pixel_is_refused(call: Call, tmp_path: Path, out: Path) -> None:
    empty = real.write_raster(tmp_path / "e.tif", np.zeros((3, 256, 256), np.uint8), nodata=0)
    done = call("align", empty, astray(tmp_path / "old.gpkg"), "-o", out / "a.gpkg")
    assert done.code == 3 and "no valid pixel" in done.error_lines()[0]
    assert list(out.iterdir()) == []


def test_the_bundled_scene_lies_on_the_equator() -> None:
    """The tests above take metres of web Mercator for true ones."""
    with rasterio.open(real.SCENE) as scene:
        lon, lat = pyproj.Transformer.from_crs(scene.crs, 4326, always_xy=True).transform(
            *scene.transform @ (512, 512)
        )
    assert abs(lat) < 2 and np.isfinite(lon)
