from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

from buildext.footprints.separate import (
    SeparationOptions,
    grow_back,
    label_interior,
    label_leftovers,
    linked,
)


def pixels(picture: str) -> NDArray[np.str_]:
    return np.array([list(line) for line in picture.split()])


def grown(picture: str, reach_px: int) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Digits are interior, `s` is seam, a dot is background."""
    marks = pixels(picture)
    labels = np.where(np.char.isdigit(marks), marks, "0").astype(np.int32)
    return labels, grow_back(labels, np.flatnonzero(marks == "s"), reach_px)


def test_interior_is_connected_over_sides_only() -> None:
    labels, count = label_interior(np.eye(3, dtype=np.bool_))
    assert count == 3
    assert sorted(labels[labels > 0].tolist()) == [1, 2, 3]


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)))
@example(np.zeros((3, 4), np.bool_))
@example(np.ones((3, 4), np.bool_))
def test_interior_is_labelled_as_scipy_labels_it(mask: NDArray[np.bool_]) -> None:
    expected, number = ndimage.label(mask)
    labels, count = label_interior(mask)
    assert count == number
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)


def test_growth_stops_at_its_reach() -> None:
    labels, left = grown("....... .1ssss. .......", 2)
    assert labels[1].tolist() == [0, 1, 1, 1, 0, 0, 0]
    assert left.tolist() == [7 + 4, 7 + 5]


def test_growth_stays_inside_the_building() -> None:
    labels, left = grown("..... .1.s. .sss. .....", 9)
    assert labels[1:3].tolist() == [[0, 1, 0, 1, 0], [0, 1, 1, 1, 0]]
    assert not left.size


def test_the_nearest_component_wins() -> None:
    labels, _ = grown("......... .1sssss2. .........", 9)
    # Five seam pixels: two each, and the one in the middle goes west before it goes east.
    assert labels[1].tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 0]


@pytest.mark.parametrize(
    ("around", "winner"),
    [("1234", 1), (".234", 2), ("..34", 3), ("...4", 4), ("9876", 9), (".876", 8)],
)
def test_ties_go_north_west_east_south_whatever_the_numbers(around: str, winner: int) -> None:
    north, west, east, south = around
    labels, _ = grown(f"..... ..{north}.. .{west}s{east}. ..{south}.. .....", 1)
    assert labels[2, 2] == winner


def test_leftovers_are_connected_over_sides_only() -> None:
    marks = pixels("...... .ss.s. ..s.s. .s..s. ......")
    labels = np.zeros(marks.shape, np.int32)
    assert label_leftovers(labels, np.flatnonzero(marks == "s"), taken=7) == 3
    assert (labels > 0).tolist() == (marks == "s").tolist()
    assert labels[1, 1] == labels[1, 2] == labels[2, 2] != labels[3, 1]
    assert labels[1, 4] == labels[2, 4] == labels[3, 4]
    assert set(labels[labels > 0].tolist()) == {8, 9, 10}


def test_no_leftovers() -> None:
    labels = np.ones((3, 3), np.int32)
    assert label_leftovers(labels, np.empty(0, np.intp), taken=1) == 0
    assert (labels == 1).all()


def test_linked() -> None:
    count, component = linked(6, np.array([[0, 4], [4, 2], [3, 5], [3, 5]]))
    assert count == 3
    assert component[0] == component[2] == component[4]
    assert component[3] == component[5]
    assert len(set(component[[0, 1, 3]].tolist())) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold_u8": 0},
        {"threshold_u8": 256},
        {"contact_threshold_u8": -1},
        {"contact_threshold_u8": 256},
        {"core_threshold_u8": 127},
        {"core_threshold_u8": 256},
        {"grow_px": -1},
        {"min_area_px": -1},
        {"min_hole_px": -1},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        SeparationOptions(**wrong)


def test_halo() -> None:
    assert SeparationOptions(grow_px=7).halo_px == 7
    assert SeparationOptions(grow_px=0).halo_px == 1
    assert SeparationOptions(contact_threshold_u8=None, grow_px=7).halo_px == 1
    soft = SeparationOptions(contact_threshold_u8=None, grow_px=7, core_threshold_u8=140)
    assert soft.halo_px == 7
