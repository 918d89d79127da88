"""The contact target between two rectangles, at several resolutions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildext.learn.training.config import LossSection
from buildext.learn.training.scenes import Tile
from buildext.learn.training.targets import contact_mask, contact_radius_px, make_targets

OPTIONS = LossSection()


def two_rectangles(gap_px: int, size_px: int = 64) -> np.ndarray:
    """Two buildings side by side, `gap_px` columns of background between them."""
    labels = np.zeros((size_px, size_px), np.int32)
    middle = size_px // 2
    labels[8:-8, 8:middle] = 7
    labels[8:-8, middle + gap_px : -8] = 4000
    return labels


@pytest.mark.parametrize("gsd_m", [0.1, 0.2, 0.25, 0.5])
def test_seam_of_touching_buildings_is_as_wide_as_two_radii(gsd_m: float) -> None:
    radius_px = contact_radius_px(gsd_m, OPTIONS)
    seam = contact_mask(two_rectangles(0), radius_px)
    # A pixel belongs to the seam if the other building's nearest pixel centre is in reach.
    reach = int(radius_px)
    row = seam[32]
    assert np.flatnonzero(row).tolist() == list(range(32 - reach, 32 + reach))
    assert not seam[:, : 32 - reach].any()


@pytest.mark.parametrize(
    ("gsd_m", "radius_px"), [(0.1, 5.0), (0.25, 2.0), (0.5, 1.25), (1.0, 1.25)]
)
def test_radius_is_half_a_metre_but_at_least_a_pixel(gsd_m: float, radius_px: float) -> None:
    assert contact_radius_px(gsd_m, OPTIONS) == pytest.approx(radius_px)


@pytest.mark.parametrize(("gap_px", "expected"), [(1, 9), (4, 6), (9, 1), (10, 0), (30, 0)])
def test_a_gap_counts_up_to_twice_the_radius(gap_px: int, expected: int) -> None:
    # Radius 5: pixel x has both when x - 31 <= 5 and 32 + gap - x <= 5.
    row = contact_mask(two_rectangles(gap_px), 5.0)[32]
    assert np.count_nonzero(row) == expected


def test_one_building_has_no_seam_with_itself_or_the_border() -> None:
    labels = np.full((32, 32), 5, np.int32)
    assert not contact_mask(labels, 4.0).any()
    labels[:, 20:] = 0
    assert not contact_mask(labels, 4.0).any()


def test_a_tile_without_background_still_has_its_seam() -> None:
    labels = np.full((16, 16), 3, np.int32)
    labels[:, 8:] = 9
    assert np.flatnonzero(contact_mask(labels, 1.25)[5]).tolist() == [7, 8]


@given(st.integers(0, 2**32 - 1), st.floats(1.0, 4.0))
def test_equals_the_definition_by_brute_force(seed: int, radius_px: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 3, 3, 70_000, 2**30], (9, 11)).astype(np.int32)
    expected = np.zeros(labels.shape, bool)
    rows, cols = np.mgrid[0:9, 0:11]
    for row in range(9):
        for col in range(11):
            near = (rows - row) ** 2 + (cols - col) ** 2 <= radius_px**2
            expected[row, col] = len(set(labels[near].tolist()) - {0}) >= 2
    np.testing.assert_array_equal(contact_mask(labels, radius_px), expected)


def test_weights_ignore_nodata_and_unknown_seams() -> None:
    labels = two_rectangles(0)
    weight = np.ones(labels.shape, bool)
    weight[:, :10] = False
    image = np.zeros((64, 64, 3), np.uint8)
    channels = ("building", "contact")
    tile = Tile(image, labels, weight, weight, True, 0.25)
    target, weights = make_targets(tile, channels, OPTIONS)
    assert target.shape == weights.shape == (2, 64, 64)
    np.testing.assert_array_equal(target[0], labels > 0)
    np.testing.assert_array_equal(weights[0], weight)
    np.testing.assert_array_equal(weights[1], weight)
    merged, weights = make_targets(dataclasses.replace(tile, instances=False), channels, OPTIONS)
    assert not merged[1].any()
    assert not weights[1].any()
    assert weights[0].any()
