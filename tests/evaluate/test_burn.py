"""Burning against the definition, pixel by pixel, and against GDAL."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from buildext.evaluate.burn import burn

SIDE = 24


def shapes(seed: int) -> np.ndarray:
    """Stars, rings and pairs, turning both ways, overlapping, some beyond the border."""
    rng = np.random.default_rng(seed)
    out = []
    for kind in range(6):
        n = int(rng.integers(3, 9))
        angle = (np.arange(n) + rng.uniform(0, 0.8, n)) * 2 * np.pi / n
        radius = rng.uniform(2, 7, n)
        xy = (
            rng.uniform(0, SIDE, 2)
            + np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None]
        )
        polygon = shapely.make_valid(shapely.Polygon(xy))
        if kind % 3 == 1:
            polygon = polygon.difference(polygon.buffer(-1))
        if kind % 3 == 2:
            polygon = polygon.union(shapely.affinity.translate(polygon, 9, 3))
        out.append(polygon.reverse() if kind % 2 else polygon)
    return np.array([p for p in out if p.geom_type.endswith("Polygon") and p.area], dtype=object)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_a_pixel_is_inside_where_its_centre_is(seed: int) -> None:
    polygons, pixel, origin = shapes(seed), (0.7, 0.9), (1.5, -2.0)
    found = burn(polygons, origin, pixel, (30, 28))
    rows, cols = np.indices((30, 28))
    x, y = origin[0] + (cols + 0.5) * pixel[0], origin[1] + (rows + 0.5) * pixel[1]
    inside = shapely.contains_xy(shapely.union_all(polygons), x, y)
    np.testing.assert_array_equal(found, inside)
    gdal = rasterize(
        polygons, (30, 28), transform=Affine(pixel[0], 0, origin[0], 0, pixel[1], origin[1])
    )
    np.testing.assert_array_equal(found, gdal > 0)


def test_a_common_wall_is_neither_shared_nor_lost() -> None:
    # The wall runs through pixel centres: x = 2.5.
    left, right = shapely.box(0, 0, 2.5, 4), shapely.box(2.5, 0, 5, 4)
    parts = [burn(np.array([p], dtype=object), (0, 0), (1, 1), (4, 6)) for p in (left, right)]
    assert not (parts[0] & parts[1]).any()
    assert (parts[0] | parts[1])[:, :5].all()
    assert [int(p.sum()) for p in parts] == [8, 12]


def test_a_thousand_layers_are_one() -> None:
    # Winding numbers add up, and must not run over.
    many = np.array([shapely.box(1, 1, 3, 3)] * 1000, dtype=object)
    assert burn(many, (0, 0), (1, 1), (4, 4)).sum() == 4


@pytest.mark.parametrize("shape", [(3, 5), (1, 1)])
def test_nothing_burns_nothing(shape: tuple[int, int]) -> None:
    assert not burn(np.empty(0, object), (0, 0), (1, 1), shape).any()
    away = np.array([shapely.box(50, 50, 60, 60), shapely.box(-9, -9, -5, -5)], dtype=object)
    assert not burn(away, (0, 0), (1, 1), shape).any()
    around = np.array([shapely.box(-50, -50, 60, 60)], dtype=object)
    assert burn(around, (0, 0), (1, 1), shape).all()
