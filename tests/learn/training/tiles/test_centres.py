"""Tiles are drawn where labels are known, and at tall buildings as often as at low ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from buildext.errors import UsageError
from buildext.learn.training.config import SamplingSection, check_config
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.tiles.centres import CELL_PX, HeightClasses, known_cells
from buildext.learn.training.tiles.sampling import TileSampler

LIMITS_M = (12.0, 36.0, 100.0)
TALL = SamplingSection(tile_px=64, gsd_m=(0.25, 0.25), rare_heights=1.0)


@pytest.fixture
def city(scene: LabelledScene) -> LabelledScene:
    """220 houses: one skyscraper, two high-rises, the rest low, one of unknown height."""
    heights = np.full(scene.labels.max() + 1, 5.0, np.float32)
    heights[[0, 7, 30, 31, 50]] = (0.0, 150.0, 40.0, 99.0, np.nan)
    return dataclasses.replace(scene, heights_m=heights)


def middles(city: LabelledScene, seed: int, count: int) -> np.ndarray:
    """Labels at the drawn middles."""
    classes, rng = HeightClasses([city], LIMITS_M), np.random.default_rng(seed)
    drawn = [classes.draw(rng) for _ in range(count)]
    return np.array([city.labels[int(y), int(x)] for _, (x, y) in drawn])


def test_each_height_class_is_drawn_alike(city: LabelledScene) -> None:
    drawn = middles(city, 0, 900)
    assert (drawn > 0).all()
    assert 50 not in drawn
    for numbers in ([7], [30, 31]):
        # 300 expected of 900; 5 standard deviations are 71.
        assert abs(np.isin(drawn, numbers).sum() - 300) < 71


def test_a_building_that_does_not_count_is_not_drawn(city: LabelledScene) -> None:
    known = city.known & (city.labels != 7)
    drawn = middles(dataclasses.replace(city, known=known), 0, 300)
    assert 7 not in drawn
    assert np.isin(drawn, [30, 31]).sum() > 100


def test_tiles_show_tall_buildings_at_any_place_but_the_rim(city: LabelledScene) -> None:
    sampler = TileSampler([city], TALL, 3)
    places = []
    for number in range(150):
        tile = sampler.sample(number)
        rows, cols = np.nonzero(tile.labels == 7)
        if rows.size > 465:  # 480, all of it
            places.append((rows.mean(), cols.mean()))
    # A third of the tiles; without the option one in 40 holds it.
    assert 35 < len(places) < 75
    spread = np.array(places)
    assert spread.min() > 9
    assert spread.max() < 55
    assert spread.std(axis=0).min() > 5


def test_a_share_of_tiles_is_as_it_was(city: LabelledScene) -> None:
    half = TALL.model_copy(update={"rare_heights": 0.5})
    sampler = TileSampler([city], half, 3)
    shown = sum((sampler.sample(i).labels == 7).any() for i in range(200))
    assert 15 < shown < 65


def test_tiles_at_buildings_depend_on_their_number_alone(city: LabelledScene) -> None:
    first, second = TileSampler([city], TALL, 5), TileSampler([city], TALL, 5)
    second.sample(3)
    np.testing.assert_array_equal(first.sample(17).image, second.sample(17).image)


def test_scenes_without_heights_are_sampled_as_ever(
    scene: LabelledScene, caplog: pytest.LogCaptureFixture
) -> None:
    plain = TileSampler([scene], TALL.model_copy(update={"rare_heights": 0.0}), 5)
    asked = TileSampler([scene], TALL, 5)
    for number in range(20):
        np.testing.assert_array_equal(plain.sample(number).image, asked.sample(number).image)
    assert caplog.text.count("no scene has building heights") == 1


def test_other_scenes_keep_their_share(city: LabelledScene, scene: LabelledScene) -> None:
    other = dataclasses.replace(scene, name="village/scene", image=scene.image // 4)
    sampler = TileSampler([city, other], TALL.model_copy(update={"rare_heights": 0.4}), 1)
    dark = sum(sampler.sample(i).image.max() < 70 for i in range(200))
    # 30 % expected.
    assert 30 < dark < 95


def test_cells_hold_what_is_known(scene: LabelledScene) -> None:
    assert known_cells(scene) is None
    known = np.zeros_like(scene.known)
    known[100:130, 630:640] = True
    part = dataclasses.replace(scene, known=known)
    cells = known_cells(part)
    assert cells is not None
    # 630 lies in the column of cells from 624 to 640; rows 96 to 144.
    np.testing.assert_array_equal(cells, [[624, 96], [624, 112], [624, 128]])
    assert CELL_PX == 16
    valid = scene.valid.copy()
    valid[100:112] = False
    np.testing.assert_array_equal(
        known_cells(dataclasses.replace(part, valid=valid)), [[624, 112], [624, 128]]
    )


def test_a_small_known_area_is_found_by_every_tile(scene: LabelledScene) -> None:
    known = np.zeros_like(scene.known)
    known[100:140, 300:340] = True
    options = SamplingSection(tile_px=64, gsd_m=(0.25, 0.25), empty_tiles=1.0)
    sampler = TileSampler([dataclasses.replace(scene, known=known)], options, 0)
    assert all(sampler.sample(number).weight.any() for number in range(100))


def test_limits_must_ascend() -> None:
    values = {"name": "x", "datasets": ["a"], "schedule": {"steps": 1}}
    values["sampling"] = {"height_limits_m": [36.0, 12.0]}
    with pytest.raises(UsageError, match="positive and ascending"):
        check_config(values, "test")
