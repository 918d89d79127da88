"""Rendering: shadows as long as they should be, the same picture however it is cut, plain truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely

from buildext.errors import UsageError
from buildext.grid.window import Window
from buildext.simulate.render import Sun
from buildext.simulate.sensor import Sensor
from buildext.simulate.shadow import SunMap
from buildext.simulate.view import satellite, sun_view
from buildext.simulate.world import World
from tests.simulate.scenes import GSD_M, city, grid, renderer

WINDOW = Window(0, 0, 512, 512)
TOWN = [
    *(shapely.box(x, y, x + 18, y + 14) for x in range(20, 230, 42) for y in range(20, 230, 42)),
    shapely.box(60, 60, 80, 80),
]
HEIGHTS = [4.0 + 3 * (k % 7) for k in range(len(TOWN) - 1)] + [60.0]


@pytest.mark.parametrize(("elevation_deg", "azimuth_deg"), [(30, 180), (45, 90), (60, 0)])
def test_a_shadow_is_height_over_tangent_long(elevation_deg: int, azimuth_deg: int) -> None:
    made = city([shapely.box(100, 100, 130, 130)], [20.0])
    world = World(made, grid().to_plane(made.polygons), GSD_M, seed=1)
    sun = SunMap(world, sun_view(elevation_deg, azimuth_deg, GSD_M))
    # What the sun sees in a pixel of the ground is what shades it: on the axis of the building.
    shaded = sun.read(WINDOW) > 15.0
    length_px = 20.0 / math.tan(math.radians(elevation_deg)) / GSD_M
    line = shaded[:, 230] if azimuth_deg in (0, 180) else shaded[230]
    there = np.flatnonzero(line)
    end = there.min() if azimuth_deg in (90, 180) else there.max() + 1
    sign = -1 if azimuth_deg in (90, 180) else 1
    edge = 200 if azimuth_deg in (90, 180) else 260
    assert end == pytest.approx(edge + sign * length_px, abs=0.51)


def test_shadow_is_dark_and_sunlight_is_not() -> None:
    made = city([shapely.box(100, 100, 130, 130)], [20.0])
    quiet = Sensor(blur_px=0, noise=0, shot=0, haze=0)
    tile = renderer(made, satellite(0, 0, GSD_M), Sun(45, 180), quiet).render(WINDOW)
    grey = tile.rgb.mean(axis=0)
    # The sun in the south throws the shadow northwards, 20 m or 40 px.
    shaded, lit = grey[165:195, 205:255], grey[265:295, 205:255]
    assert shaded.mean() < 0.65 * lit.mean()


def test_the_picture_does_not_depend_on_how_it_is_cut() -> None:
    made = city(TOWN, HEIGHTS)
    view, sun = satellite(30, 50, GSD_M), Sun(40, 120)
    whole = renderer(made, view, sun).render(WINDOW)
    other = renderer(made, view, sun)
    # Backwards, so that everything is made in another order.
    for row in reversed(range(0, 512, 190)):
        for col in reversed(range(0, 512, 256)):
            part = Window(row, col, min(190, 512 - row), 256)
            tile = other.render(part)
            assert (tile.rgb == whole.rgb[(slice(None), *part.slices)]).all()
            assert (tile.roof == whole.roof[part.slices]).all()
            assert (tile.facade == whole.facade[part.slices]).all()


def test_the_seed_decides() -> None:
    made, view = city(TOWN, HEIGHTS), satellite(20, 0, GSD_M)
    first, again, other = (renderer(made, view, seed=s).render(WINDOW) for s in (1, 1, 2))
    assert (first.rgb == again.rgb).all()
    assert (first.rgb != other.rgb).mean() > 0.5
    # Looks are drawn, buildings are not: but for crowns, the truth is the same.
    assert (first.roof != other.roof).mean() < 0.02


def test_truth_tells_roofs_from_facades() -> None:
    made = city(TOWN, HEIGHTS)
    tile = renderer(made, satellite(35, 50, GSD_M)).render(WINDOW)
    assert not ((tile.roof >= 0) & tile.facade).any()
    assert set(np.unique(tile.roof)) <= set(range(-1, len(TOWN)))
    assert (tile.height_m[tile.roof == len(TOWN) - 1] > 59).all()
    nadir = renderer(made, satellite(0, 0, GSD_M)).render(WINDOW)
    assert not nadir.facade.any()


def test_blur_and_noise_are_what_was_asked_for() -> None:
    edge = np.zeros((3, 40, 64), np.float32)
    edge[:, :, 32:] = 200
    sensor = Sensor(blur_px=1.0, noise=0, shot=0, haze=0)
    halo = sensor.halo_px
    picture = sensor.expose(np.pad(edge, ((0, 0), (halo, halo), (halo, halo)), "edge"),
                            Window(0, 0, 40, 64), seed=0)  # fmt: skip
    slope = np.diff(picture[0, 20].astype(float)).max() / 200
    # The steepest step of an edge under a Gaussian is 1 / (σ √(2π)).
    assert slope == pytest.approx(1 / math.sqrt(2 * math.pi), rel=0.05)
    flat = np.full((3, 512, 512), 100, np.float32)
    noisy = Sensor(blur_px=0, noise=3.0, shot=0.05, haze=0).expose(flat, WINDOW, seed=0)
    assert noisy.std() == pytest.approx(math.sqrt(9 + 5 + 1 / 12), rel=0.03)


@pytest.mark.parametrize(
    "make",
    [
        lambda: sun_view(5.0, 0, GSD_M),
        lambda: satellite(60.0, 0, GSD_M),
        lambda: Sensor(blur_px=-1),
        lambda: Sensor(haze=1.0),
    ],
)
def test_values_out_of_range_are_refused(make: object) -> None:
    with pytest.raises(UsageError, match=r"got|expected"):
        make()  # type: ignore[operator]
