"""Errors of labels: exact steps, streams of their own, blocks tied to the ground."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from buildext.errors import UsageError
from buildext.simulate.heights import HeightDistribution
from buildext.simulate.label_errors import BlockShift, LabelErrors, lead_astray, stream


def town(side: int = 20) -> np.ndarray:
    """Buildings of 10 x 6 m on a lattice of 25 m."""
    x, y = np.meshgrid(np.arange(side) * 25.0, np.arange(side) * 25.0)
    return shapely.box(x.ravel(), y.ravel(), x.ravel() + 10, y.ravel() + 6)


@given(st.floats(0, 59.9), st.floats(-360, 720), st.floats(0, 300))
def test_the_lean_is_height_times_tangent_towards_the_sensor(
    off_nadir_deg: float, azimuth_deg: float, height_m: float
) -> None:
    errors = LabelErrors(off_nadir_deg=off_nadir_deg, azimuth_deg=azimuth_deg)
    box = np.array([shapely.box(3, 4, 13, 10)])
    moved = lead_astray(box, np.array([height_m]), errors, seed=1)
    length = height_m * math.tan(math.radians(off_nadir_deg))
    azimuth = math.radians(azimuth_deg)
    east, north = length * math.sin(azimuth), length * math.cos(azimuth)
    assert moved.offset_xy_m[0] == pytest.approx([east, north], abs=1e-9)
    assert moved.polygons[0].bounds == pytest.approx(
        (3 + east, 4 + north, 13 + east, 10 + north), abs=1e-9
    )


def test_a_sensor_in_the_east_draws_footprints_east_of_the_roofs() -> None:
    errors = LabelErrors(off_nadir_deg=45, azimuth_deg=90)
    moved = lead_astray(town(1), np.array([20.0]), errors, seed=0)
    assert moved.polygons[0].bounds == pytest.approx((20, 0, 30, 6), abs=1e-9)


def test_an_error_does_not_disturb_the_draws_of_another() -> None:
    homes, heights = town(), np.full(400, 9.0)
    block = BlockShift(60.0, length_m=(1.0, 5.0))
    alone = lead_astray(homes, heights, LabelErrors(block=block, missing=0.3), seed=5)
    errors = LabelErrors(10.0, 77.0, (1.0, 2.0), block, 3.0, 0.3, 0.2, 0.2)
    both = lead_astray(homes, heights, errors, seed=5)
    real = both.source >= 0
    assert (both.source[real] == alone.source).all()
    lean = (
        9.0
        * math.tan(math.radians(10))
        * np.array([math.sin(math.radians(77)), math.cos(math.radians(77))])
    )
    assert both.offset_xy_m[real] == pytest.approx(alone.offset_xy_m + lean + [1.0, 2.0])


def test_a_block_moves_as_one_and_blocks_differ() -> None:
    block = BlockShift(100.0, length_m=(1.0, 5.0))
    moved = lead_astray(town(), np.zeros(400), LabelErrors(block=block), seed=3)
    cells = np.floor(shapely.get_coordinates(shapely.centroid(town())) / 100.0)
    _, which = np.unique(cells, axis=0, return_inverse=True)
    steps = [np.unique(moved.offset_xy_m[which.ravel() == i], axis=0) for i in range(25)]
    assert all(len(step) == 1 for step in steps)
    assert len(np.unique(np.concatenate(steps), axis=0)) == 25
    lengths = np.hypot(*np.concatenate(steps).T)
    assert lengths.min() >= 1 and lengths.max() <= 5


def test_a_part_of_the_labels_gets_the_steps_of_the_whole() -> None:
    errors = LabelErrors(block=BlockShift(70.0, sigma_m=2.0))
    whole = lead_astray(town(), np.zeros(400), errors, seed=9)
    part = lead_astray(town()[100:200], np.zeros(100), errors, seed=9)
    assert (part.offset_xy_m == whole.offset_xy_m[100:200]).all()


def test_sigma_is_the_deviation_of_block_steps() -> None:
    places = np.random.default_rng(0).uniform(0, 1e5, (4000, 2))
    steps = BlockShift(10.0, sigma_m=2.5).steps_m(places, seed=4)
    assert steps.std(axis=0) == pytest.approx([2.5, 2.5], rel=0.05)


def test_shares_are_kept() -> None:
    homes = town(40)
    errors = LabelErrors(missing=0.2, extra=0.1, out_of_date=0.25)
    moved = lead_astray(homes, np.zeros(1600), errors, seed=2)
    real = moved.source >= 0
    assert real.sum() == pytest.approx(1600 * 0.8, rel=0.05)
    assert (~real).sum() == 160
    assert (moved.status[real] == "cut").mean() == pytest.approx(0.25, abs=0.04)


def test_extra_labels_stand_free() -> None:
    moved = lead_astray(town(), np.zeros(400), LabelErrors(extra=0.1), seed=8)
    real, extra = moved.polygons[:400], moved.polygons[400:]
    assert len(extra) == 40
    assert np.isnan(moved.offset_xy_m[400:]).all() and (moved.status[400:] == "extra").all()
    left, right = shapely.STRtree(moved.polygons).query(extra, predicate="intersects")
    assert (right == left + 400).all()
    assert len(real) == 400


def test_an_outdated_label_is_a_part_of_its_building() -> None:
    homes = town()
    moved = lead_astray(homes, np.zeros(400), LabelErrors(out_of_date=1.0), seed=6)
    share = shapely.area(moved.polygons) / 60.0
    assert share.min() >= 0.4 - 1e-6 and share.max() <= 0.8 + 1e-6
    assert shapely.contains(shapely.buffer(homes, 1e-5), moved.polygons).all()


def test_rotation_is_about_the_middle() -> None:
    moved = lead_astray(town(), np.zeros(400), LabelErrors(rotation_deg=5.0), seed=7)
    assert shapely.area(moved.polygons) == pytest.approx(60.0)
    assert shapely.distance(
        shapely.centroid(moved.polygons), shapely.centroid(town())
    ) == pytest.approx(0.0, abs=1e-9)
    assert moved.rotation_deg.std() == pytest.approx(5.0, rel=0.15)
    first = math.radians(moved.rotation_deg[0])
    edge = np.diff(shapely.get_coordinates(moved.polygons[0])[:2], axis=0)[0]
    # The first edge of a shapely box runs north.
    assert math.atan2(-edge[0], edge[1]) == pytest.approx(first, abs=1e-9)


def test_the_seed_decides() -> None:
    errors = LabelErrors(20.0, 30.0, block=BlockShift(64.0, sigma_m=2.0), missing=0.2, extra=0.1)
    first, again, other = (lead_astray(town(), np.full(400, 5.0), errors, s) for s in (1, 1, 2))
    assert shapely.to_wkb(first.polygons).tolist() == shapely.to_wkb(again.polygons).tolist()
    assert first.source.tolist() != other.source.tolist()


def test_drawn_heights_have_the_asked_for_median_and_spread() -> None:
    heights = HeightDistribution(12.0, 0.5).draw(20_000, stream(3, "height"))
    assert np.median(heights) == pytest.approx(12.0, rel=0.02)
    assert np.log(heights).std() == pytest.approx(0.5, rel=0.02)
    assert HeightDistribution(7.0, 0.0).draw(5, stream(0)) == pytest.approx(7.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LabelErrors(off_nadir_deg=60.0),
        lambda: LabelErrors(off_nadir_deg=-1.0),
        lambda: LabelErrors(missing=1.5),
        lambda: LabelErrors(extra=-0.1),
        lambda: BlockShift(0.0, sigma_m=1.0),
        lambda: BlockShift(64.0),
        lambda: BlockShift(64.0, sigma_m=1.0, length_m=(1.0, 2.0)),
        lambda: BlockShift(64.0, length_m=(5.0, 1.0)),
        lambda: HeightDistribution(-1.0),
    ],
)
def test_values_out_of_range_are_refused(make: object) -> None:
    with pytest.raises(UsageError, match="got"):
        make()  # type: ignore[operator]
