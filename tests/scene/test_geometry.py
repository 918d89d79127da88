"""Where the pixels of a scene lie: true GSD, half-pixel exactness, odd orientations, windows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Geod
from rasterio.control import GroundControlPoint
from shapely import Point, Polygon, box

from buildext.errors import NoCrsError
from buildext.grid.window import Window
from buildext.scene import Scene, open_scene
from tests.scene.rasters import OPTIONS, ORIGIN_XY, noise, utm, write

# rasterio itself multiplies affines in a way that newer affines announce to retire.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

AS_IS = replace(OPTIONS, scale=(0, 255))


def whole(scene: Scene) -> Window:
    return Window(0, 0, scene.height, scene.width)


def true_size_m(transform: Affine, crs: str, col: float, row: float) -> tuple[float, float]:
    """Pixel width and height on the ellipsoid, written anew for the test."""
    from rasterio.warp import transform as to_crs

    xs, ys = zip(
        *(transform @ p for p in [(col, row), (col + 1, row), (col, row + 1)]), strict=True
    )
    lon, lat = to_crs(crs, "EPSG:4326", xs, ys)
    geod = Geod(ellps="WGS84")
    return (
        geod.inv(lon[0], lat[0], lon[1], lat[1])[2],
        geod.inv(lon[0], lat[0], lon[2], lat[2])[2],
    )


def ramp(transform: Affine, height: int, width: int, steep: float = 1.0) -> NDArray[np.float32]:
    """A plane over the ground: `40 + 2 east + 3 south` metres of `ORIGIN_XY`, at pixel centres."""
    cols, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x = transform.a * cols + transform.b * rows + transform.c
    y = transform.d * cols + transform.e * rows + transform.f
    plane = 40 + steep * (2 * (x - ORIGIN_XY[0]) + 3 * (ORIGIN_XY[1] - y))
    return np.repeat(plane[None], 3, axis=0).astype(np.float32)


# --- GSD ---


@pytest.mark.parametrize("latitude", [0, 45, 60, -70])
def test_web_mercator_pixels_are_measured_on_the_ground(tmp_path: Path, latitude: int) -> None:
    radius = 6378137.0
    y = radius * math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))
    transform = Affine(0.5, 0, 1_000_000, 0, -0.5, y)
    with open_scene(
        [write(tmp_path / "a.tif", noise(20, 20), transform, "EPSG:3857")], OPTIONS
    ) as s:
        # The factor on a sphere; the ellipsoid differs from it by less than a third of a percent.
        assert s.gsd_m == pytest.approx(0.5 * math.cos(math.radians(latitude)), rel=4e-3)
        assert s.native_gsd_m == s.gsd_m
        assert (s.height, s.width, s.transform) == (20, 20, transform)


def test_degrees_are_resampled_to_square_metres(tmp_path: Path) -> None:
    transform = Affine(3e-6, 0, 25.0, 0, -3e-6, 60.0)
    path = write(tmp_path / "a.tif", noise(200, 300), transform, "EPSG:4326")
    with open_scene([path], OPTIONS) as scene:
        size_m = true_size_m(scene.transform, "EPSG:4326", scene.width / 2, scene.height / 2)
        assert size_m == pytest.approx((scene.gsd_m, scene.gsd_m), rel=1e-3)
        assert scene.resampled
        assert scene.gsd_m == pytest.approx(math.sqrt(0.1674 * 0.3342), rel=2e-3)
        assert scene.crs.to_epsg() == 4326
        # The same ground is covered, but for less than one model pixel.
        x, y = scene.transform @ (scene.width, scene.height)
        assert 0 <= x - (25.0 + 300 * 3e-6) < scene.transform.a
        assert 0 <= (60.0 - 200 * 3e-6) - y < -scene.transform.e


@pytest.mark.parametrize(
    ("file_m", "expected_m"), [(0.05, 0.1), (0.0995, 0.0995), (0.3, 0.3), (0.6, 0.6), (0.9, 0.6)]
)
def test_gsd_is_clamped_to_what_the_model_knows(
    tmp_path: Path, file_m: float, expected_m: float
) -> None:
    with open_scene([write(tmp_path / "a.tif", noise(20, 20), utm(file_m))], OPTIONS) as scene:
        assert scene.gsd_m == pytest.approx(expected_m, rel=1e-3)
        assert scene.native_gsd_m == pytest.approx(file_m, rel=1e-3)
        assert scene.resampled == (abs(expected_m / file_m - 1) > 0.01)


def test_gsd_can_be_forced(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(20, 20))
    with open_scene([path], replace(OPTIONS, gsd_m=0.2)) as scene:
        assert scene.gsd_m == 0.2
        assert scene.height == scene.width == math.ceil(20 * scene.native_gsd_m / 0.2)


def test_us_feet_are_not_metres(tmp_path: Path) -> None:
    transform = Affine(1.0, 0, 600_000, 0, -1.0, 200_000)
    path = write(tmp_path / "a.tif", noise(20, 20), transform, "EPSG:2263")
    with open_scene([path], OPTIONS) as scene:
        assert scene.gsd_m == pytest.approx(0.3048, rel=1e-3)


# --- resampling ---


@pytest.mark.parametrize("file_m", [0.05, 0.025, 0.71, 1.2, 2.0])
def test_a_ramp_stays_where_it_is(tmp_path: Path, file_m: float) -> None:
    steep = 0.437 / file_m  # grey values a pixel: the same at each size
    pixels = ramp(utm(file_m), 60, 50, steep)
    with open_scene([write(tmp_path / "a.tif", pixels, utm(file_m))], AS_IS) as scene:
        read, valid = scene.read(whole(scene))
        expected = ramp(scene.transform, scene.height, scene.width, steep)
    assert valid.all()
    inner = (slice(None), slice(3, -3), slice(3, -3))
    # Half a grey value of rounding, and what averaging whole pixels loses: an eighth of a step.
    limit = 0.5 + 1e-3 + (2.5 / 8 if file_m < 0.1 else 0)
    error = (read - expected)[inner]
    assert np.abs(error).max() <= limit
    assert abs(error.mean()) < 0.2  # half a file's pixel would be 1.1


def test_averaging_by_whole_factors_is_the_mean(tmp_path: Path) -> None:
    pixels = noise(60, 80)
    transform = utm(0.1)
    # Of the true GSD, which differs a little from the projected one.
    with open_scene([write(tmp_path / "a.tif", pixels, transform)], OPTIONS) as scene:
        native_m = scene.native_gsd_m
    with open_scene([tmp_path / "a.tif"], replace(OPTIONS, gsd_m=4 * native_m)) as scene:
        read, _ = scene.read(whole(scene))
        assert (scene.height, scene.width) == (15, 20)
    means = pixels.reshape(3, 15, 4, 20, 4).mean(axis=(2, 4))
    assert np.abs(read - means).max() <= 0.5 + 1e-3


# --- orientation ---


def test_south_up_equals_north_up(tmp_path: Path) -> None:
    pixels = noise(30, 40)
    mask = noise(30, 40, 1, seed=4)[0] > 50
    north = write(tmp_path / "north.tif", pixels, mask=mask)
    upside_down = utm(0.3) @ Affine(1, 0, 0, 0, -1, 30)
    south = write(tmp_path / "south.tif", pixels[:, ::-1], upside_down, mask=mask[::-1])
    with open_scene([north], OPTIONS) as a, open_scene([south], OPTIONS) as b:
        assert a.transform.almost_equals(b.transform)
        for window in (whole(a), Window(5, 7, 11, 13)):
            for one, other in zip(a.read(window), b.read(window), strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_rotated_raster_keeps_its_pixels(tmp_path: Path) -> None:
    pixels, transform = noise(30, 40), utm(0.3) @ Affine.rotation(30)
    with open_scene([write(tmp_path / "a.tif", pixels, transform)], OPTIONS) as scene:
        np.testing.assert_array_equal(scene.read(whole(scene))[0], pixels)
        assert scene.transform == transform
        assert scene.gsd_m == pytest.approx(0.3, rel=1e-3)
        bounds = Point(transform @ (20, 10)).buffer(0.1).bounds
        assert scene.window_of(bounds).intersection(Window(10, 20, 1, 1))
        square = Polygon([transform @ p for p in [(20, 10), (24, 10), (24, 15), (20, 15)]])
        burnt = scene.rasterize([square], whole(scene))
        assert np.argwhere(burnt).min(axis=0).tolist() == [10, 20]
        assert burnt.sum() == 20


def test_a_sheared_raster_is_set_upright(tmp_path: Path) -> None:
    transform = utm(0.3) @ Affine(1, 0.4, 0, 0, 1, 0)
    path = write(tmp_path / "a.tif", ramp(transform, 60, 60), transform)
    with open_scene([path], AS_IS) as scene:
        read, valid = scene.read(whole(scene))
        expected = ramp(scene.transform, scene.height, scene.width)
        assert (scene.transform.b, scene.transform.d) == (0, 0)
    assert 0.6 < valid.mean() < 0.9
    inner = valid & np.roll(valid, 2, 1) & np.roll(valid, -2, 1)
    inner[:2] = inner[-2:] = False
    assert np.abs(read - expected)[:, inner].max() <= 0.6


def test_control_points_alone_place_a_raster(tmp_path: Path) -> None:
    pixels, transform = ramp(utm(0.3), 50, 60), utm(0.3)
    points = [
        GroundControlPoint(row, col, *(transform @ (col, row)))
        for row in (0, 50)
        for col in (0, 60)
    ]
    path = tmp_path / "gcp.tif"
    profile = {"height": 50, "width": 60, "count": 3, "dtype": "float32"}
    with rasterio.open(path, "w", driver="GTiff", gcps=points, crs="EPSG:32630", **profile) as file:
        file.write(pixels)
    with open_scene([path], AS_IS) as scene:
        read, valid = scene.read(whole(scene))
        expected = ramp(scene.transform, scene.height, scene.width)
        assert scene.gsd_m == pytest.approx(0.3, rel=5e-3)
        assert scene.crs.to_epsg() == 32630
    assert valid[1:-1, 1:-1].all()
    assert np.abs(read - expected)[:, 2:-2, 2:-2].max() <= 0.6
    with open_scene([path], replace(AS_IS, gsd_m=0.45)) as scene:
        read, valid = scene.read(whole(scene))
        expected = ramp(scene.transform, scene.height, scene.width)
        assert scene.gsd_m == pytest.approx(0.45, rel=5e-3)
    assert np.abs(read - expected)[:, 2:-2, 2:-2].max() <= 0.7


def test_nodata_of_a_raster_with_control_points(tmp_path: Path) -> None:
    pixels = noise(50, 60)
    pixels[:, :20] = 0
    points = [
        GroundControlPoint(row, col, *(utm(0.3) @ (col, row))) for row in (0, 50) for col in (0, 60)
    ]
    path = tmp_path / "gcp.tif"
    profile = {"height": 50, "width": 60, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", gcps=points, crs="EPSG:32630", **profile) as file:
        file.write(pixels)
    with open_scene([path], replace(OPTIONS, nodata=0)) as scene:
        _, valid = scene.read(whole(scene))
    assert not valid[:19].any()
    assert valid[21:-1, 1:-1].all()


# --- no place on Earth ---


@pytest.mark.parametrize(
    ("transform", "crs", "what"),
    [
        (utm(0.3), None, "coordinate reference system"),
        (Affine.identity(), "EPSG:32630", "geotransform"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pixel_units_must_be_asked_for(
    tmp_path: Path, transform: Affine, crs: str | None, what: str
) -> None:
    path = write(tmp_path / "a.tif", noise(20, 30), transform, crs)
    with pytest.raises(NoCrsError, match=what) as caught:
        open_scene([path], OPTIONS)
    assert "--pixel-units" in caught.value.hint
    with open_scene([path], replace(OPTIONS, pixel_units=True)) as scene:
        assert scene.crs is None
        assert scene.gsd_assumed
        assert OPTIONS.gsd_range_m[0] < scene.gsd_m < OPTIONS.gsd_range_m[1]
        np.testing.assert_array_equal(scene.read(whole(scene))[0], noise(20, 30))
        assert scene.transform == transform
    with open_scene([path], replace(OPTIONS, pixel_units=True, gsd_m=0.25)) as scene:
        assert (scene.gsd_m, scene.gsd_assumed, scene.resampled) == (0.25, False, False)


# --- areas of interest ---


def test_window_of_and_rasterize(tmp_path: Path) -> None:
    with open_scene([write(tmp_path / "a.tif", noise(40, 50), utm(0.3))], OPTIONS) as scene:
        x, y = ORIGIN_XY
        area = (x + 3.0, y - 6.0, x + 4.5, y - 3.0)
        assert scene.window_of(area) == Window(10, 10, 10, 5)
        assert scene.window_of((x - 9, y - 1.5, x + 0.1, y + 9)) == Window(0, 0, 5, 1)
        assert scene.window_of((x - 9, y, x - 5, y + 9)) is None
        burnt = scene.rasterize([box(*area)], Window(8, 8, 20, 20))
        assert np.argwhere(burnt).min(axis=0).tolist() == [2, 2]
        assert burnt.sum() == 50
        assert not scene.rasterize([Polygon()], Window(0, 0, 3, 3)).any()
