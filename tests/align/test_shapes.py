"""Alignment on rasters drawn from known roofs: what was displaced is found again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from buildext.align import Alignment, AlignOptions, align_shapes, align_windows
from buildext.errors import LabelError, UsageError
from tests.align.scenes import GSD_M, moved, probability_of, village

SHAPE = (420, 440)
VALID = np.ones(SHAPE, np.bool_)
ROOFS = village()
SEEN = probability_of(ROOFS, SHAPE)
shift = st.floats(-24, 24)


def steps(found: list[Alignment]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([one.shift_xy_px for one in found])


@settings(max_examples=12)
@given(shift, shift)
def test_a_common_shift_is_found_to_a_fraction_of_a_pixel(x: float, y: float) -> None:
    found = align_shapes(SEEN, VALID, [moved(roof, -x, -y) for roof in ROOFS], GSD_M)
    assert {one.status for one in found} == {"moved"}
    assert steps(found) == pytest.approx(np.tile((x, y), (len(ROOFS), 1)), abs=0.5)
    assert np.abs(steps(found) - (x, y)).mean() < 0.2
    assert min(one.confidence for one in found) > 0.8


def test_each_building_has_a_shift_of_its_own() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([12.0, -7.0]) + rng.normal(0, 3, (len(ROOFS), 2))
    labels = [moved(roof, *-step) for roof, step in zip(ROOFS, truth, strict=True)]
    assert steps(align_shapes(SEEN, VALID, labels, GSD_M)) == pytest.approx(truth, abs=0.8)


@settings(max_examples=6)
@given(shift, shift, st.floats(0.5, 4.0))
def test_no_label_moves_farther_than_allowed(x: float, y: float, limit_m: float) -> None:
    labels = [moved(roof, -x, -y) for roof in ROOFS]
    for one in align_shapes(SEEN, VALID, labels, GSD_M, AlignOptions(max_shift_m=limit_m)):
        assert np.hypot(*one.shift_xy_px) * GSD_M <= limit_m + 1e-6


def test_bytes_and_floats_are_the_same_evidence() -> None:
    labels = [moved(roof, 5, 3) for roof in ROOFS]
    as_bytes = np.round(SEEN * 255).astype(np.uint8)
    floats = as_bytes.astype(np.float32) / 255
    found = [align_shapes(raster, VALID, labels, GSD_M) for raster in (as_bytes, floats)]
    assert steps(found[0]) == pytest.approx(steps(found[1]), abs=1e-3)


@settings(max_examples=6)
@given(st.integers(-30, 30), st.integers(-30, 30))
def test_a_translation_of_everything_changes_nothing(x: int, y: int) -> None:
    canvas, known = np.zeros((500, 520), np.float32), np.zeros((500, 520), np.bool_)
    where = slice(40 + y, 40 + y + SHAPE[0]), slice(40 + x, 40 + x + SHAPE[1])
    canvas[where], known[where] = SEEN, True
    labels = [moved(roof, 4.3, -6.1) for roof in ROOFS]
    there = [moved(label, 40 + x, 40 + y) for label in labels]
    here, far = align_shapes(SEEN, VALID, labels, GSD_M), align_shapes(canvas, known, there, GSD_M)
    assert steps(here) == pytest.approx(steps(far), abs=1e-3)


@settings(max_examples=4)
@given(st.permutations(range(len(ROOFS))), st.sampled_from([20.0, 35.0, 60.0]))
def test_neither_the_order_nor_the_windows_matter(order: list[int], window_m: float) -> None:
    # A short support, so that windows really leave labels out.
    options = AlignOptions(support_m=8.0)
    labels = [moved(roof, 4.3, -6.1) for roof in ROOFS]
    whole = align_shapes(SEEN, VALID, labels, GSD_M, options)
    parts = align_windows(
        lambda window: (SEEN[window.slices], VALID[window.slices]),
        SHAPE,
        [labels[i] for i in order],
        GSD_M,
        options,
        window_m=window_m,
    )
    for k, i in enumerate(order):
        assert parts[k].shift_xy_px == pytest.approx(whole[i].shift_xy_px, abs=1e-3)
        assert parts[k].confidence == pytest.approx(whole[i].confidence, abs=1e-3)
        assert parts[k].status == whole[i].status


def test_a_row_of_houses_is_held_by_its_neighbours() -> None:
    """Alone, a house in the middle of a terrace fits everywhere along it."""
    row = [shapely.box(60 + 24 * i, 100, 84 + 24 * i, 140) for i in range(8)]
    seen = probability_of(row, (240, 330))
    labels = [moved(house, -17, 9) for house in row]
    valid = np.ones(seen.shape, np.bool_)
    alone = align_shapes(seen, valid, labels[3:4], GSD_M)
    found = align_shapes(seen, valid, labels, GSD_M)
    assert steps(found) == pytest.approx(np.tile((17.0, -9.0), (8, 1)), abs=2.0)
    assert found[3].confidence > alone[0].confidence


def test_no_evidence_is_said_and_nothing_moves() -> None:
    label = shapely.box(200, 200, 240, 240)
    nothing = np.full(SHAPE, 0.02, np.float32)
    assert align_shapes(nothing, VALID, [label], GSD_M) == [Alignment((0.0, 0.0), 0.0, "missing")]
    unknown = align_shapes(nothing, np.zeros(SHAPE, np.bool_), [label], GSD_M)
    assert unknown == [Alignment((0.0, 0.0), 0.0, "unseen")]
    outside = align_shapes(nothing, VALID, [moved(label, 900, 0)], GSD_M)
    assert outside == [Alignment((0.0, 0.0), 0.0, "unseen")]
    everywhere = np.full(SHAPE, 0.6, np.float32)
    (kept,) = align_shapes(everywhere, VALID, [label], GSD_M)
    assert (kept.shift_xy_px, kept.status) == ((0.0, 0.0), "kept") and kept.confidence < 0.5


def test_a_demolished_house_among_others_is_missing() -> None:
    gone = 5
    seen = probability_of([roof for i, roof in enumerate(ROOFS) if i != gone], SHAPE)
    found = align_shapes(seen, VALID, [moved(roof, -8, 4) for roof in ROOFS], GSD_M)
    assert [i for i, one in enumerate(found) if one.status == "missing"] == [gone]


def test_a_finer_raster_gives_the_same_metres() -> None:
    roofs = ROOFS[:4]
    fine = [shapely.affinity.scale(roof, 2, 2, origin=(0, 0)) for roof in roofs]
    seen = probability_of(fine, (440, 880), blur_px=3)
    labels = [moved(roof, -13, 22) for roof in fine]
    found = align_shapes(seen, np.ones(seen.shape, np.bool_), labels, GSD_M / 2)
    assert steps(found) == pytest.approx(np.tile((13.0, -22.0), (4, 1)), abs=1.0)


def test_several_parts_move_as_one() -> None:
    parts = shapely.MultiPolygon([shapely.box(100, 100, 130, 150), shapely.box(160, 90, 190, 120)])
    seen = probability_of([parts], SHAPE)
    (found,) = align_shapes(seen, VALID, [moved(parts, 11, -6)], GSD_M)
    assert found.shift_xy_px == pytest.approx((-11, 6), abs=0.3)


@pytest.mark.parametrize(
    "wrong", [shapely.Point(1, 1), shapely.LineString([(0, 0), (1, 1)]), shapely.Polygon()]
)
def test_what_is_no_polygon_is_refused(wrong: shapely.Geometry) -> None:
    with pytest.raises(LabelError, match=wrong.geom_type):
        align_shapes(SEEN, VALID, [ROOFS[0], wrong], GSD_M)


def test_no_label_is_no_work() -> None:
    assert align_shapes(SEEN, VALID, [], GSD_M) == []


@pytest.mark.parametrize("far_m", [0.0, -1.0, 101.0])
def test_a_reach_out_of_range_is_refused(far_m: float) -> None:
    with pytest.raises(UsageError, match="largest shift"):
        dataclasses.replace(AlignOptions(), max_shift_m=far_m)
