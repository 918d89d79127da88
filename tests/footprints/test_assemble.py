from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from buildext.footprints.assemble import assemble
from buildext.footprints.raw import Block
from buildext.footprints.separate import SeparationOptions
from buildext.grid.window import Window
from tests.footprints.conftest import (
    assembled,
    cut,
    cuts,
    fields,
    normalised,
    separations,
    summarised_slowly,
    summary,
)

PLAIN = SeparationOptions(contact_threshold_u8=None)
EVERY_5 = {"rows": range(5, 40, 5), "cols": [range(5, 40, 5)]}


@given(data=st.data(), options=separations())
@settings(max_examples=60)
def test_equals_the_definition(data: st.DataObject, options: SeparationOptions) -> None:
    probability, valid = data.draw(fields(28))
    groups = assembled(probability, options, valid)
    assert normalised(groups) == summarised_slowly(probability, valid, options)


@given(data=st.data(), options=separations())
@settings(max_examples=80)
def test_does_not_depend_on_the_blocks(data: st.DataObject, options: SeparationOptions) -> None:
    probability, valid = data.draw(fields(90))
    whole = assembled(probability, options, valid)
    rows = data.draw(cuts(valid.shape[0]))
    cols = data.draw(st.lists(cuts(valid.shape[1]), min_size=1, max_size=3))
    split = assembled(probability, options, valid, rows, cols)
    assert summary(split) == summary(whole)


@given(data=st.data(), options=separations())
def test_polygons_are_sound(data: st.DataObject, options: SeparationOptions) -> None:
    probability, valid = data.draw(fields(60))
    groups = assembled(
        probability,
        options,
        valid,
        data.draw(cuts(valid.shape[0])),
        [data.draw(cuts(valid.shape[1]))],
    )
    buildings = [building for group in groups for building in group]
    polygons = [building.polygon for building in buildings]
    for building in buildings:
        polygon = building.polygon
        assert isinstance(polygon, shapely.Polygon)
        assert polygon.is_valid
        assert polygon.exterior.is_ccw
        assert not any(hole.is_ccw for hole in polygon.interiors)
        assert building.pixels >= options.min_area_px
        for ring in (polygon.exterior, *polygon.interiors):
            steps = np.diff(np.asarray(ring.coords), axis=0)
            assert ((steps != 0).sum(axis=1) == 1).all()
            assert (steps[1:][:, 0] != 0).tolist() == (steps[:-1][:, 0] == 0).tolist()
            assert len(steps) % 2 == 0
    for group in groups:
        bounds = [(b.polygon.bounds[1], b.polygon.bounds[0]) for b in group]
        assert bounds == sorted(bounds)
    # No overlap, even where holes are filled: the union is as large as the sum.
    assert shapely.union_all(polygons).area == sum(polygon.area for polygon in polygons)


@given(data=st.data(), contact=st.sampled_from([None, 0, 128]), grow=st.integers(0, 4))
def test_area_is_the_number_of_building_pixels(
    data: st.DataObject, contact: int | None, grow: int
) -> None:
    probability, valid = data.draw(fields(60))
    options = SeparationOptions(contact_threshold_u8=contact, grow_px=grow)
    split = data.draw(cuts(valid.shape[0])), [data.draw(cuts(valid.shape[1]))]
    buildings = [b for group in assembled(probability, options, valid, *split) for b in group]
    expected = int((valid & (probability[0] >= 128)).sum())
    assert sum(b.pixels for b in buildings) == expected
    assert sum(b.polygon.area for b in buildings) == expected


def test_two_buildings_touching_along_a_seam() -> None:
    probability = np.zeros((2, 40, 40), np.uint8)
    probability[0, 10:30, 5:35] = 204
    probability[1, 10:30, 19:21] = 255
    (group,) = assembled(probability, SeparationOptions(grow_px=3), **EVERY_5)
    left, right = group
    assert left.polygon.equals(shapely.box(5, 10, 20, 30))
    assert right.polygon.equals(shapely.box(20, 10, 35, 30))
    assert left.polygon.intersection(right.polygon).length == 20
    assert left.confidence == right.confidence == 0.8


def test_a_seam_wider_than_the_growth_stays_as_a_building_of_its_own() -> None:
    probability = np.zeros((2, 40, 40), np.uint8)
    probability[0, 10:30, 5:35] = 255
    probability[1, 10:30, 15:25] = 255
    (group,) = assembled(probability, SeparationOptions(grow_px=2), **EVERY_5)
    assert [b.polygon.bounds[::2] for b in group] == [(5, 17), (17, 23), (23, 35)]


def test_a_dropped_speck_no_longer_joins_what_touched_it() -> None:
    probability = np.zeros((2, 40, 40), np.uint8)
    probability[0, 10:20, 5:15] = probability[0, 10:20, 19:29] = 255
    probability[0, 15, 15:19] = 255
    probability[1, 15, 15:19] = 255
    options = {"grow_px": 1, "contact_threshold_u8": 128}
    (joined,) = assembled(probability, SeparationOptions(**options), **EVERY_5)
    assert [b.pixels for b in joined] == [101, 101, 2]
    apart = assembled(probability, SeparationOptions(**options, min_area_px=3), **EVERY_5)
    assert [[b.pixels for b in group] for group in apart] == [[101], [101]]


def test_thresholds_are_inclusive_for_building_and_exclusive_for_interior() -> None:
    probability = np.zeros((2, 1, 9), np.uint8)
    probability[0, 0] = [127, 128, 128, 128, 128, 128, 128, 128, 127]
    probability[1, 0, 4] = 100
    with_seam = SeparationOptions(128, contact_threshold_u8=100, grow_px=0)
    (group,) = assembled(probability, with_seam)
    assert [b.pixels for b in group] == [3, 1, 3]
    without = SeparationOptions(128, contact_threshold_u8=101, grow_px=0)
    ((building,),) = assembled(probability, without)
    assert building.polygon.bounds == (1, 0, 8, 1)


@pytest.mark.parametrize("split", [{}, EVERY_5])
def test_small_holes_are_filled_and_large_ones_kept(split: dict) -> None:
    probability = np.zeros((1, 40, 40), np.uint8)
    probability[0, 5:35, 5:35] = 255
    probability[0, 8:10, 8:10] = 0
    probability[0, 18:28, 18:28] = 0
    options = SeparationOptions(contact_threshold_u8=None, min_hole_px=5, min_area_px=5)
    ((building,),) = assembled(probability, options, **split)
    expected = shapely.box(5, 5, 35, 35) - shapely.box(18, 18, 28, 28)
    assert building.polygon.equals(expected)
    assert building.pixels == 900 - 104


def test_a_hole_that_could_hold_a_building_is_kept() -> None:
    probability = np.zeros((1, 40, 40), np.uint8)
    probability[0, 5:35, 5:35] = 255
    probability[0, 10:20, 10:20] = 0
    probability[0, 13:17, 13:17] = 255
    options = SeparationOptions(contact_threshold_u8=None, min_hole_px=400, min_area_px=10)
    inner, outer = (b for group in assembled(probability, options, **EVERY_5) for b in group)
    assert (inner.pixels, outer.pixels) == (16, 800)
    assert outer.polygon.intersection(inner.polygon).area == 0


def test_invalid_pixels_are_never_building() -> None:
    probability = np.full((1, 40, 40), 255, np.uint8)
    valid = np.ones((40, 40), np.bool_)
    valid[10:20, 12:] = False
    ((building,),) = assembled(probability, PLAIN, valid, **EVERY_5)
    assert building.polygon.equals(shapely.box(0, 0, 40, 40) - shapely.box(12, 10, 40, 20))
    assert building.touches_edge


@pytest.mark.parametrize("split", [{}, EVERY_5])
def test_touches_edge_at_the_border_and_at_invalid_pixels_only(split: dict) -> None:
    probability = np.zeros((1, 40, 40), np.uint8)
    valid = np.ones((40, 40), np.bool_)
    inner, border, gap, diagonal = (1, 1), (36, 20), (20, 20), (20, 30)
    for row, col in (inner, border, gap, diagonal):
        probability[0, row : row + 4, col : col + 4] = 255
    valid[20, 24] = False  # beside `gap`
    valid[19, 29] = False  # only a corner of `diagonal`
    groups = assembled(probability, PLAIN, valid, **split)
    told = {b.polygon.bounds[1::-1]: b.touches_edge for group in groups for b in group}
    assert told == {inner: False, border: True, gap: True, diagonal: False}


def test_nothing_found() -> None:
    nothing = np.zeros((2, 23, 31), np.uint8)
    assert assembled(nothing, SeparationOptions(), rows=[7], cols=[[5, 20]]) == []


def test_one_pixel() -> None:
    ((building,),) = assembled(np.full((1, 1, 1), 51, np.uint8), SeparationOptions(50, None))
    assert building.polygon.equals(shapely.box(0, 0, 1, 1))
    assert (building.confidence, building.pixels, building.touches_edge) == (0.2, 1, True)


def test_all_building() -> None:
    probability = np.full((2, 63, 41), 255, np.uint8)
    probability[1] = 0
    ((building,),) = assembled(probability, SeparationOptions(), rows=[9, 30], cols=[[7], [8, 20]])
    assert building.polygon.wkt == "POLYGON ((0 0, 41 0, 41 63, 0 63, 0 0))"


def test_checkerboard_is_all_single_pixels() -> None:
    probability = np.zeros((1, 12, 17), np.uint8)
    probability[0, ::2, ::2] = probability[0, 1::2, 1::2] = 255
    groups = assembled(probability, PLAIN, rows=[5], cols=[[3, 4], [9]])
    assert [len(group) for group in groups] == [1] * 102
    assert {b.polygon.area for (b,) in groups} == {1.0}


def test_spiral_is_one_building() -> None:
    probability = np.zeros((1, 61, 61), np.uint8)
    top, left, bottom, right = 0, 0, 60, 60
    while right - left > 3:
        probability[0, top, max(0, left - 2) : right + 1] = 255
        probability[0, top : bottom + 1, right] = 255
        probability[0, bottom, left : right + 1] = 255
        probability[0, top + 2 : bottom + 1, left] = 255
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    whole = assembled(probability, PLAIN)
    ((building,),) = whole
    assert building.pixels == int((probability > 0).sum())
    assert building.polygon.is_valid and not building.polygon.interiors
    split = assembled(probability, PLAIN, rows=range(7, 61, 7), cols=[range(4, 61, 4)])
    assert summary(split) == summary(whole)


def test_groups_come_as_soon_as_they_are_closed() -> None:
    probability = np.zeros((1, 40, 40), np.uint8)
    probability[0, 2:5, 2:5] = 255
    probability[0, 30:35, 2:5] = 255
    blocks = cut(probability, np.ones((40, 40), np.bool_), range(10, 40, 10), [[20]])
    groups = assemble(blocks, (40, 40), PLAIN)
    next(groups)
    assert next(blocks).window.row == 10


@pytest.mark.parametrize(
    "windows",
    [
        [Window(0, 0, 4, 4)],
        [Window(0, 0, 8, 4)],
        [Window(0, 4, 8, 4), Window(0, 0, 8, 4)],
        [Window(0, 0, 4, 4), Window(0, 4, 8, 4)],
        [Window(0, 0, 8, 9)],
        [Window(0, 0, 9, 8)],
        [],
    ],
)
def test_blocks_that_do_not_cover_the_scene_are_refused(windows: list[Window]) -> None:
    blocks = [
        Block(w, np.zeros((1, w.height, w.width), np.uint8), np.ones((w.height, w.width), np.bool_))
        for w in windows
    ]
    with pytest.raises(ValueError, match="got block"):
        list(assemble(blocks, (8, 8), PLAIN))


def test_a_missing_contact_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 channels"):
        assembled(np.zeros((1, 4, 4), np.uint8), SeparationOptions())
