from __future__ import annotations

import numpy as np
import rasterio.features
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from buildext.footprints.polygonize import Corners, find_corners, trace_polygons


def corners_of(labels: NDArray[np.int32]) -> Corners:
    """Corners of all regions of a whole raster, owned by label - 1."""
    framed = np.pad(labels, 1)
    corners = find_corners(framed[:, :-1] != framed[:, 1:], framed[:-1] != framed[1:], framed, 0, 0)
    return corners.owned(corners.owner - 1)


def traced(picture: str, filled_hole_px: int = 0) -> shapely.Polygon:
    mask = np.array([list(line) for line in picture.split()]) == "#"
    (polygon,) = trace_polygons(corners_of(mask.astype(np.int32)), 1, filled_hole_px)
    assert polygon.is_valid
    return polygon


def test_square() -> None:
    assert traced("... .#. ...").wkt == "POLYGON ((1 1, 2 1, 2 2, 1 2, 1 1))"


def test_hole() -> None:
    polygon = traced("#### #..# ####")
    assert polygon.wkt == ("POLYGON ((0 0, 4 0, 4 3, 0 3, 0 0), (1 1, 1 2, 3 2, 3 1, 1 1))")


def test_holes_below_the_limit_are_filled() -> None:
    picture = "####### #.#..## ####### #######"
    assert [len(traced(picture, limit).interiors) for limit in (1, 2, 3)] == [2, 1, 0]


def test_saddles_of_both_kinds() -> None:
    # The pocket meets the outside in one point; it is a hole, and the outer ring stays simple.
    for picture in ("##.. #.## #### ####", "..## ##.# #### ####"):
        polygon = traced(picture)
        assert polygon.exterior.is_simple
        assert [shapely.Polygon(hole).area for hole in polygon.interiors] == [1]
        assert polygon.area == picture.count("#")


def test_diagonal_holes_are_two() -> None:
    polygon = traced("#### #.## ##.# ####")
    assert [shapely.Polygon(hole).area for hole in polygon.interiors] == [1, 1]


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 14), width=st.integers(1, 14))
def test_equals_gdal(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    labels, count = ndimage.label(random.random((height, width)) < random.uniform(0.3, 0.95))
    if not count:
        return
    ours = trace_polygons(corners_of(labels), count, 0)
    assert shapely.is_valid(ours).all()
    theirs: list[list[shapely.Geometry]] = [[] for _ in range(count)]
    for shape, label in rasterio.features.shapes(labels, mask=labels > 0, connectivity=4):
        theirs[int(label) - 1].append(shapely.geometry.shape(shape))
    for polygon, parts in zip(ours, theirs, strict=True):
        assert polygon.equals(shapely.union_all(shapely.make_valid(parts)))


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 12), pieces=st.integers(2, 6))
def test_corners_of_pieces_join_to_the_whole(seed: int, size: int, pieces: int) -> None:
    random = np.random.default_rng(seed)
    whole, count = ndimage.label(random.random((size, size)) < random.uniform(0.4, 1))
    if not count:
        return
    # Any partition into pieces, not connected ones only: owners are put together afterwards.
    split = np.where(
        whole > 0, (whole - 1) * pieces + random.integers(0, pieces, whole.shape) + 1, 0
    )
    corners = corners_of(split.astype(np.int32))
    joined = trace_polygons(corners.owned(corners.owner // pieces), count, 0)
    expected = trace_polygons(corners_of(whole), count, 0)
    assert [p.wkt for p in joined] == [p.wkt for p in expected]
