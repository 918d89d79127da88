from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from buildext.footprints.features import FEATURE_SCHEMA, polygons_of, to_batch
from buildext.footprints.frame import GridFrame
from tests.footprints.made import GSD_M, UTM_FRAME, building, courtyard, three_features


def test_columns_carry_what_the_buildings_say() -> None:
    batch = three_features(first_id=7)
    assert batch.schema == FEATURE_SCHEMA
    assert batch.column("id").to_pylist() == [7, 8, 9]
    assert batch.column("confidence").to_pylist() == [0.9124, 0.55, 0.72]
    assert batch.column("reg_status").to_pylist() == ["regularised", "simplified", "kept"]
    assert batch.column("touches_edge").to_pylist() == [False, False, True]
    assert batch.column("area_m2").to_pylist() == [
        pytest.approx(1100 * GSD_M**2),
        pytest.approx(600 * GSD_M**2),
        pytest.approx(500 * GSD_M**2),
    ]
    assert batch.column("perimeter_m").to_pylist() == [
        pytest.approx(180 * GSD_M),
        pytest.approx(120 * GSD_M),
        pytest.approx(90 * GSD_M),
    ]


def test_pixels_land_where_the_transform_says() -> None:
    house = polygons_of(three_features())[2]
    assert house.bounds == pytest.approx(
        (500_000, 4_000_000 - 75 * GSD_M, 500_000 + 20 * GSD_M, 4_000_000 - 50 * GSD_M)
    )


@given(
    angle=st.floats(-180, 180),
    mirrored=st.booleans(),
)
def test_rings_are_oriented_whatever_the_transform(angle: float, mirrored: bool) -> None:
    transform = Affine.translation(5e5, 4e6) @ Affine.rotation(angle)
    transform = transform @ Affine.scale(0.3, -0.3 if mirrored else 0.3)
    batch = to_batch([building(courtyard())], GridFrame(transform, "EPSG:32633", 0.3), 1)
    polygon = polygons_of(batch)[0]
    assert polygon.exterior.is_ccw
    assert len(polygon.interiors) == 1
    assert not polygon.interiors[0].is_ccw
    assert batch.column("area_m2")[0].as_py() == pytest.approx(1100 * 0.09, abs=0.01)


def test_the_same_building_measures_the_same_in_any_crs() -> None:
    """One house, written in UTM, degrees and web-Mercator: same square metres."""
    lon, lat = 15.0, 52.0
    areas = []
    for crs in ("EPSG:32633", "EPSG:4326", "EPSG:3857"):
        move = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        x, y = move.transform(lon, lat)
        x_east, _ = move.transform(lon + 1e-4, lat)
        _, y_north = move.transform(lon, lat + 1e-4)
        frame = GridFrame(Affine((x_east - x) / 100, 0, x, 0, (y - y_north) / 100, y_north), crs, 1)
        areas.append(
            to_batch([building(shapely.box(0, 0, 100, 100))], frame, 1).column("area_m2")[0].as_py()
        )
    # UTM's scale is 0.9996 on its central meridian.
    assert areas[0] == pytest.approx(areas[1] * 0.9996**2, rel=1e-3)
    assert areas[2] == pytest.approx(areas[1], rel=1e-3)


def test_ids_do_not_depend_on_the_batches() -> None:
    houses = [building(shapely.box(i * 20, 0, i * 20 + 10, 10)) for i in range(10)]
    whole = to_batch(houses, UTM_FRAME, 1)
    parts = [to_batch(houses[:4], UTM_FRAME, 1), to_batch(houses[4:], UTM_FRAME, 5)]
    assert whole.to_pylist() == parts[0].to_pylist() + parts[1].to_pylist()


def test_no_building_gives_an_empty_batch() -> None:
    batch = to_batch([], UTM_FRAME, 1)
    assert batch.schema == FEATURE_SCHEMA
    assert batch.num_rows == 0
    assert polygons_of(batch).shape == (0,)


def test_geometry_keeps_its_precision() -> None:
    sixth = shapely.box(1 / 3, 1 / 7, 10 + 1 / 3, 10 + 1 / 7)
    got = polygons_of(to_batch([building(sixth)], UTM_FRAME, 1))[0]
    assert (
        np.abs(np.array(got.bounds[:2]) - [500_000 + 0.1, 4_000_000 - 0.3 * (10 + 1 / 7)]).max()
        < 1e-9
    )
