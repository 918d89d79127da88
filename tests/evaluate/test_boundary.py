"""Contours and their tolerance, by hand and against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from buildext.evaluate import EvaluateOptions, evaluate_files
from buildext.evaluate.boundary import contour, grow_disc
from tests.evaluate.files import blank, box, write_vector

masks = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def test_contour_of_a_square_is_its_rim() -> None:
    building = np.zeros((12, 12), np.bool_)
    building[1:11, 1:11] = True
    rim = contour(building, np.ones_like(building))
    assert rim.sum() == 36
    assert not rim[2:10, 2:10].any()


def test_a_cut_is_no_contour() -> None:
    # The building fills the left half: only its last column has ground beside it.
    building = np.zeros((6, 6), np.bool_)
    building[:, :3] = True
    assert np.flatnonzero(contour(building, np.ones_like(building)).any(axis=0)).tolist() == [2]
    # Where the right half is not scored, there is no ground at all.
    assert not contour(building, building).any()


@given(mask=masks, radius=st.floats(0.1, 6), gx=st.floats(0.3, 2), gy=st.floats(0.3, 2))
def test_growing_equals_brute_force(mask: np.ndarray, radius: float, gx: float, gy: float) -> None:
    rows, cols = np.indices(mask.shape)
    distance = np.full(mask.shape, np.inf)
    for r, c in np.argwhere(mask):
        distance = np.minimum(distance, np.hypot((rows - r) * gy, (cols - c) * gx))
    grown = grow_disc(mask, radius, (gx, gy))
    # A hair around the radius is left to rounding.
    clear = np.abs(distance - radius) > 1e-4
    np.testing.assert_array_equal(grown[clear], (distance <= radius)[clear])


def test_a_square_shifted_by_three_pixels(tmp_path: Path) -> None:
    # True: columns 5–14, predicted: columns 8–17, both rows 5–14; 36 contour px each, θ = 2 m.
    # Predicted top row: columns 8–16 lie within 2 of the true top row (ends at 14): 9; bottom: 9.
    # Left side, rows 6–13 in column 8: rows 6, 7, 12, 13 are within 2 of the top or bottom row: 4.
    # Right side, column 17: 3 from column 14: 0. Together 22 of 36; by symmetry recall is the same.
    ref = write_vector(tmp_path / "r.gpkg", [box(5, 5, 15, 15)])
    pred = write_vector(tmp_path / "p.gpkg", [box(8, 5, 18, 15)])
    extent = blank(tmp_path / "s.tif", 25)
    found = evaluate_files(pred, ref, EvaluateOptions(extent=extent)).boundary
    assert found.tolerance_m == 2
    assert (found.pred_contour_px, found.ref_contour_px) == (36, 36)
    assert found.precision == found.recall == pytest.approx(22 / 36)
    assert found.f1 == pytest.approx(22 / 36)
    # Bands are frames 3 px wide, 100 − 4 · 4 = 84 px each. Both squares share columns 8–14: 70 px,
    # less the true hole (columns 8–11, 16 px) and the predicted one (11–14, 16 px), which share
    # column 11 (4 px): 42. Their union: 84 + 84 − 42.
    assert found.iou == pytest.approx(42 / 126)
    # With θ = 3 m every contour pixel finds its shifted twin.
    wide = evaluate_files(pred, ref, EvaluateOptions(extent=extent, boundary_m=3)).boundary
    assert wide.f1 == 1
