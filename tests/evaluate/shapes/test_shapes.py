"""Shape metrics: by hand, against GEOS, and against a slow reading of their definitions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import rotate, translate

from buildext.evaluate.shapes.complexity import complexity
from buildext.evaluate.shapes.distances import outline_distances
from buildext.evaluate.shapes.shift import centroid_shift_m
from buildext.evaluate.shapes.tangent import max_tangent_angle_deg
from buildext.evaluate.shapes.vertices import vertices_of

SQUARE = shapely.box(0, 0, 10, 10)
WITH_HOLE = shapely.box(0, 0, 10, 10).difference(shapely.box(4, 4, 6, 6))
TWO = shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(5, 0, 9, 3)])


def as_array(*polygons: shapely.Geometry) -> np.ndarray:
    return np.array(polygons, dtype=object)


def stars(count: int, seed: int) -> np.ndarray:
    """Simple polygons of 3 to 12 corners around the origin."""
    rng = np.random.default_rng(seed)
    out = []
    for n in rng.integers(3, 13, count):
        angle = (np.arange(n) + rng.uniform(0, 0.8, n)) * 2 * np.pi / n
        radius = rng.uniform(3, 10, n)
        xy = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
        out.append(shapely.Polygon(xy))
    return np.array(out, dtype=object)


def test_corners_without_the_closing_point() -> None:
    found = vertices_of(as_array(SQUARE, WITH_HOLE, TWO))
    assert found.count.tolist() == [4, 8, 8]
    assert found.polygon.tolist() == [0] * 4 + [1] * 8 + [2] * 8
    assert len(found.xy) == 20


def test_polis_by_hand() -> None:
    # A square moved by 1 m east: of its corners the two on the right lie 1 m from the other's
    # line, the two on the left lie on its horizontal walls.
    moved = translate(SQUARE, 1, 0)
    found = outline_distances(as_array(moved, SQUARE), as_array(SQUARE, SQUARE))
    # pred → ref: (0 + 1 + 1 + 0)/4; ref → pred: (1 + 0 + 0 + 1)/4; PoLiS is their mean.
    assert found.polis_m.tolist() == [0.5, 0]
    assert found.hausdorff_m.tolist() == [1, 0]


def test_polis_weighs_both_sides_alike() -> None:
    # A triangular bump of height 3 in the middle of one wall: one of seven corners is 3 m off.
    bump = shapely.Polygon([(0, 0), (10, 0), (10, 10), (7, 10), (5, 13), (3, 10), (0, 10)])
    found = outline_distances(as_array(bump), as_array(SQUARE))
    assert found.polis_m[0] == pytest.approx((3 / 7 + 0) / 2)
    assert found.hausdorff_m[0] == 3


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20)
def test_distances_against_geos_and_the_definition(seed: int) -> None:
    pred, ref = stars(4, seed), stars(4, seed + 1)
    found = outline_distances(pred, ref)
    np.testing.assert_allclose(
        found.hausdorff_m, shapely.hausdorff_distance(shapely.boundary(pred), shapely.boundary(ref))
    )
    for i, (a, b) in enumerate(zip(pred, ref, strict=True)):
        there = [b.exterior.distance(shapely.Point(xy)) for xy in a.exterior.coords[:-1]]
        back = [a.exterior.distance(shapely.Point(xy)) for xy in b.exterior.coords[:-1]]
        assert found.polis_m[i] == pytest.approx((np.mean(there) + np.mean(back)) / 2)


def test_complexity_by_hand() -> None:
    # A triangle (3 corners) on a square (4): 1 − 1/7 of the IoU.
    triangle = shapely.Polygon([(0, 0), (10, 0), (10, 10)])
    found = complexity(as_array(triangle, SQUARE), as_array(SQUARE, SQUARE), np.array([0.5, 1.0]))
    assert found.c_iou == pytest.approx([0.5 * 6 / 7, 1])
    assert found.vertex_ratio.tolist() == [0.75, 1]


def test_equal_outlines_have_no_tangent_error() -> None:
    shapes = as_array(SQUARE, WITH_HOLE, TWO, shapely.Point(0, 0).buffer(8))
    # Rounding alone: arccos of 1 − 1e-16 is 1e-8 rad.
    assert max_tangent_angle_deg(shapes, shapes, 0.7) == pytest.approx(0, abs=1e-5)


def test_a_turned_square_has_its_angle_as_tangent_error() -> None:
    # Chords on a wall project onto a wall turned by 5°; at the corners the projection shrinks a
    # chord towards the corner, which bends it further, but no chord errs less than 5°.
    turned = rotate(SQUARE, 5)
    [angle] = max_tangent_angle_deg(as_array(turned), as_array(SQUARE), 0.01)
    assert angle >= 5 - 1e-6


def test_a_cut_corner_errs_by_45_degrees() -> None:
    # The chamfer runs at 45° to both walls onto which its chords project: each is shrunk by √2.
    cut = shapely.Polygon([(0, 0), (10, 0), (10, 6), (6, 10), (0, 10)])
    [angle] = max_tangent_angle_deg(as_array(cut), as_array(SQUARE), 0.001)
    assert angle == pytest.approx(45, abs=0.5)


def slow_tangent_deg(pred: shapely.Polygon, ref: shapely.Polygon, step_m: float) -> float:
    """The definition, one chord after the other."""
    ring = pred.exterior
    n = max(1, round(ring.length / step_m))
    points = [ring.interpolate(i / n, normalized=True) for i in range(n + 1)]
    onto = [ref.exterior.interpolate(ref.exterior.project(point)) for point in points]
    worst = []
    for (a, b), (c, d) in zip(pairwise(points), pairwise(onto), strict=True):
        u, v = np.array([b.x - a.x, b.y - a.y]), np.array([d.x - c.x, d.y - c.y])
        lu, lv = np.hypot(*u), np.hypot(*v)
        if lu > 0 and lv > 0 and 0.5 < lu / lv < 2:
            worst.append(np.degrees(np.arccos(min(1, abs(u @ v) / (lu * lv)))))
    return max(worst)


def test_tangent_error_against_a_slow_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    pred, ref = stars(12, 3), stars(12, 4)
    expected = [slow_tangent_deg(a, b, 0.5) for a, b in zip(pred, ref, strict=True)]
    assert max_tangent_angle_deg(pred, ref, 0.5) == pytest.approx(expected, abs=1e-3)
    monkeypatch.setattr("buildext.evaluate.shapes.tangent._BATCH_POINTS", 150)
    assert max_tangent_angle_deg(pred, ref, 0.5) == pytest.approx(expected, abs=1e-3)


def test_shift_by_hand() -> None:
    found = centroid_shift_m(as_array(translate(SQUARE, 3, -4)), as_array(SQUARE))
    assert found.tolist() == [[3, -4]]


def test_nothing_matched_is_nothing() -> None:
    empty = np.empty(0, object)
    assert len(outline_distances(empty, empty).polis_m) == 0
    assert len(complexity(empty, empty, np.empty(0)).c_iou) == 0
    assert len(max_tangent_angle_deg(empty, empty, 1.0)) == 0
    assert centroid_shift_m(empty, empty).shape == (0, 2)
