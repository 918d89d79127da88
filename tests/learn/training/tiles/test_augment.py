"""Augmentation repeats by seed, keeps the shape, and drops weight with what it fills."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from buildext.learn.training.config import AugmentSection
from buildext.learn.training.data.scenes import FILL_RGB, Tile
from buildext.learn.training.tiles.augment import augment

OPTIONS = AugmentSection(nodata=0.5)


@pytest.fixture
def tile() -> Tile:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    labels = np.zeros((64, 64), np.int32)
    labels[10:30, 10:30] = 4
    everywhere = np.ones((64, 64), bool)
    return Tile(image, labels, everywhere, everywhere, True, 0.3)


def test_equal_generators_give_equal_tiles(tile: Tile) -> None:
    for seed in range(30):
        first = augment(tile, OPTIONS, np.random.default_rng(seed))
        second = augment(tile, OPTIONS, np.random.default_rng(seed))
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.weight, second.weight)


def test_the_tile_handed_in_is_not_touched_and_labels_stay(tile: Tile) -> None:
    before = tile.image.copy()
    results = [augment(tile, OPTIONS, np.random.default_rng(seed)) for seed in range(30)]
    np.testing.assert_array_equal(tile.image, before)
    for result in results:
        assert result.image.dtype == np.uint8
        assert result.image.shape == (64, 64, 3)
        np.testing.assert_array_equal(result.labels, tile.labels)
    assert sum((result.image != before).any() for result in results) > 20


def test_dropped_areas_are_fill_without_weight(tile: Tile) -> None:
    results = [augment(tile, OPTIONS, np.random.default_rng(seed)) for seed in range(60)]
    dropped = [result for result in results if not result.weight.all()]
    assert 15 < len(dropped) < 45
    for result in dropped:
        assert (result.image[~result.weight] == FILL_RGB).all()
        assert result.weight.any()


def test_where_labels_are_unknown_the_image_stays_visible(tile: Tile) -> None:
    weight = tile.weight.copy()
    weight[:, :20] = False
    half = dataclasses.replace(tile, weight=weight)
    options = AugmentSection(strength=0.0, gray=0.0, nodata=0.0)
    result = augment(half, options, np.random.default_rng(0))
    np.testing.assert_array_equal(result.image, tile.image)
    np.testing.assert_array_equal(result.weight, weight)


def test_gray_has_three_equal_bands(tile: Tile) -> None:
    options = AugmentSection(strength=0.0, gray=1.0, nodata=0.0)
    image = augment(tile, options, np.random.default_rng(0)).image
    assert (image[..., 0] == image[..., 1]).all()
    assert (image[..., 0] == image[..., 2]).all()
    assert image.std() > 10


def test_strength_zero_changes_nothing(tile: Tile) -> None:
    options = AugmentSection(strength=0.0, gray=0.0, nodata=0.0)
    np.testing.assert_array_equal(
        augment(tile, options, np.random.default_rng(0)).image, tile.image
    )
