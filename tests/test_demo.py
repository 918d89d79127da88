"""The demo runs on the core install alone, and its picture shows what was found."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine

from tests.real import ROOT

EXAMPLES = ROOT / "examples"
CYAN = (0, 229, 255)
# The core install has none of these; an import of what is None fails.
WITHOUT = """
import runpy, sys
for name in ("torch", "timm", "cv2", "PIL", "matplotlib", "geopandas"):
    sys.modules[name] = None
sys.path.insert(0, {examples!r})
sys.argv = ["demo.py", "--scene", "kampala_b", "--size", "400", "--out", {out!r}]
runpy.run_path({examples!r} + "/demo.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("picture", EXAMPLES / "picture.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["picture"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_demo_scores_a_real_scene_and_draws_it(tmp_path: Path) -> None:
    code = WITHOUT.format(examples=str(EXAMPLES), out=str(tmp_path))
    demo = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert demo.returncode == 0, demo.stderr
    found = pyogrio.read_info(tmp_path / "kampala_b.gpkg", layer=0)["features"]
    assert found > 0
    assert f"{found} buildings in " in demo.stdout
    assert "pixels, pooled" in demo.stdout
    assert "objects at IoU" in demo.stdout
    with rasterio.open(tmp_path / "kampala_b.png") as png:
        pixels = png.read()
    assert pixels.shape == (3, 400, 400)
    # Outlines in the pen's own colour, on an image that has no such pixel.
    assert (pixels == np.array(CYAN)[:, None, None]).all(axis=0).sum() > 200


def test_a_pixel_takes_as_much_colour_as_is_covered(picture: ModuleType) -> None:
    box = np.array([shapely.box(1.5, 1, 3, 2.25)])
    covered = picture.coverage(box, (4, 4))
    expected = np.zeros((4, 4))
    expected[1, 1], expected[1, 2] = 0.5, 1
    expected[2, 1], expected[2, 2] = 0.125, 0.25
    np.testing.assert_array_equal(covered, expected)


def test_a_pen_draws_lines_over_a_faint_fill(picture: ModuleType) -> None:
    grey = np.full((20, 20, 3), 100, np.uint8)
    drawn = picture.draw(grey, np.array([shapely.box(4, 4, 16, 16)]), picture.Pen(CYAN, 2.0, 0.1))
    assert tuple(drawn[4, 10]) == CYAN
    assert tuple(drawn[10, 10]) == (90, 113, 116)
    assert tuple(drawn[1, 1]) == (100, 100, 100)
    assert (grey == 100).all()


def test_nothing_is_drawn_where_nothing_was_found(picture: ModuleType) -> None:
    grey = np.full((5, 5, 3), 100, np.uint8)
    drawn = picture.draw(grey, np.array([], dtype=object), picture.Pen(CYAN, 2.0, 0.1))
    np.testing.assert_array_equal(drawn, grey)


def test_polygons_land_where_they_lie_in_the_image(picture: ModuleType, tmp_path: Path) -> None:
    layer = tmp_path / "one.gpkg"
    transform = Affine(0.5, 0, 1000, 0, -0.5, 2000)
    pyogrio.raw.write(
        layer,
        geometry=shapely.to_wkb(np.array([shapely.box(1001, 1997, 1002, 1999)])),
        field_data=[],
        fields=[],
        geometry_type="Polygon",
        crs="EPSG:32633",
    )
    (polygon,) = picture.read_polygons(layer, transform)
    assert polygon.bounds == (2, 2, 4, 6)


def test_a_picture_is_made_smaller_and_knows_where_it_lies(picture: ModuleType) -> None:
    scene = ROOT / "datasets" / "kampala_b" / "scene.tif"
    pixels, transform = picture.read_image(scene, 256)
    with rasterio.open(scene) as source:
        assert pixels.shape == (256, 256, 3)
        assert transform @ (256, 256) == pytest.approx(source.transform @ (1024, 1024))
