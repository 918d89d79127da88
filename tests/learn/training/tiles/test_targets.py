"""The contact target between two rectangles, at several resolutions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildext.learn.training.config import LossSection
from buildext.learn.training.data.scenes import Tile
from buildext.learn.training.tiles.targets import (
    contact_mask,
    contact_radius_px,
    edge_distance_m,
    make_targets,
)

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


def square_tile(gsd_m: float = 0.5) -> Tile:
    """One building, rows and columns 20 to 43 of 64."""
    labels = np.zeros((64, 64), np.int32)
    labels[20:44, 20:44] = 9
    everywhere = np.ones(labels.shape, bool)
    return Tile(np.zeros((64, 64, 3), np.uint8), labels, everywhere, everywhere, True, gsd_m)


def test_targets_are_noughts_and_ones_unless_asked() -> None:
    target, weight = make_targets(square_tile(), ("building", "contact"), OPTIONS)
    assert target.dtype == weight.dtype == np.float16
    assert set(np.unique(target).tolist()) == {0.0, 1.0}
    assert (weight == 1).all()


def test_smoothing_slides_through_a_half_at_the_edge() -> None:
    options = LossSection(edge_smoothing_m=2.0)
    (target,), (weight,) = make_targets(square_tile(), ("building",), options)
    # Pixels of 0.5 m: centres lie 0.25, 0.75 ... m from the edge, on both sides.
    slope = 0.5 + np.array([-2.0, -1.75, -1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 1.75, 2.0]) / 4
    np.testing.assert_allclose(target[32, 15:25], slope)
    np.testing.assert_allclose(target[32, 39:49], slope[::-1])
    assert target[32, 32] == 1
    assert target[0, 0] == 0
    assert (weight == 1).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0), st.floats(0.1, 20.0))
def test_a_smoothed_target_is_above_a_half_exactly_on_labels(
    seed: int, gsd_m: float, edge_m: float
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 3, 4], (9, 11)).astype(np.int32)
    everywhere = np.ones(labels.shape, bool)
    tile = Tile(np.zeros((9, 11, 3), np.uint8), labels, everywhere, everywhere, True, gsd_m)
    options = LossSection(edge_smoothing_m=edge_m)
    (target,), _ = make_targets(tile, ("building",), options)
    np.testing.assert_array_equal(target > 0.5, labels > 0)


@pytest.mark.parametrize(("gsd_m", "ignored"), [(0.5, 4), (0.25, 8), (1.0, 2), (4.0, 0)])
def test_the_band_is_as_wide_in_metres_at_every_resolution(gsd_m: float, ignored: int) -> None:
    options = LossSection(ignore_band_m=1.0)
    _, (weight,) = make_targets(square_tile(gsd_m), ("building",), options)
    # Half of the ignored pixels of an edge lie on either side of it.
    half = ignored // 2
    across = np.flatnonzero(weight[32, :32] == 0).tolist()
    assert across == list(range(20 - half, 20 + half))


def test_seams_are_neither_smoothed_nor_ignored() -> None:
    labels = two_rectangles(0)
    everywhere = np.ones(labels.shape, bool)
    tile = Tile(np.zeros((64, 64, 3), np.uint8), labels, everywhere, everywhere, True, 0.25)
    options = LossSection(edge_smoothing_m=2.0, ignore_band_m=1.0)
    target, weight = make_targets(tile, ("building", "contact"), options)
    plain, everything = make_targets(tile, ("building", "contact"), OPTIONS)
    np.testing.assert_array_equal(target[1], plain[1])
    np.testing.assert_array_equal(weight[1], everything[1])
    # Nor is the seam an edge of the building channel: both sides are building.
    assert target[0, 32, 32] == 1
    assert weight[0, 32, 32] == 1


@given(st.integers(0, 2**32 - 1))
def test_edge_distance_equals_the_definition_by_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside, known = rng.random((7, 9)) < 0.4, rng.random((7, 9)) < 0.8
    rows, cols = np.mgrid[0:7, 0:9]
    found = edge_distance_m(inside, known, 0.5)
    for row in range(7):
        for col in range(9):
            other = known & (inside != inside[row, col])
            reach = np.hypot(rows - row, cols - col)[other].min(initial=np.inf)
            sign = 1 if inside[row, col] else -1
            assert found[row, col] == pytest.approx(sign * (reach - 0.5) * 0.5, rel=1e-5)


def test_nodata_makes_no_edge() -> None:
    tile = square_tile()
    weight = np.ones((64, 64), bool)
    weight[:, :30] = False
    labels = np.where(weight, tile.labels, 0)
    cut = dataclasses.replace(tile, labels=labels, weight=weight, valid=weight)
    options = LossSection(edge_smoothing_m=2.0)
    (target,), _ = make_targets(cut, ("building",), options)
    assert target[32, 30] == 1
    assert target[32, 43] == pytest.approx(0.5 + 0.25 / 4)
