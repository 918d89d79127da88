from __future__ import annotations

import math

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from buildext.footprints.frame import GridFrame, as_pyproj
from buildext.footprints.metric import PlanarMetric, TangentMetric, measure, metric_of

WGS84 = pyproj.Geod(ellps="WGS84")
FOOT_US_M = 1200 / 3937


def frame_at(crs: object, x: float = 0.0, y: float = 0.0, gsd: float = 1.0) -> GridFrame:
    return GridFrame(Affine(gsd, 0, x, 0, -gsd, y), crs, gsd)


def measured(crs: object, polygon: shapely.Polygon) -> tuple[float, float]:
    x, y = polygon.exterior.coords[0]
    area_m2, perimeter_m = measure(np.array([polygon]), metric_of(frame_at(crs, x, y)))
    return float(area_m2[0]), float(perimeter_m[0])


@pytest.mark.parametrize("south", [0, 45, -60, 79])
def test_a_degree_cell_has_the_area_of_its_zone(south: int) -> None:
    def q(latitude: float) -> float:
        """Closed form of the area between equator and parallel (Snyder 1987, eq. 3-12)."""
        e = math.sqrt(WGS84.es)
        s = math.sin(math.radians(latitude))
        return (1 - e * e) * (
            s / (1 - (e * s) ** 2) - 1 / (2 * e) * math.log((1 - e * s) / (1 + e * s))
        )

    zone_m2 = WGS84.a**2 / 2 * math.radians(1) * (q(south + 1) - q(south))
    area_m2, _ = measured("EPSG:4326", shapely.box(10, south, 11, south + 1))
    # A degree is far larger than any building: the plane may be off in the fourth digit.
    assert area_m2 == pytest.approx(zone_m2, rel=1e-4)


def test_the_cell_at_the_equator_is_the_textbook_one() -> None:
    area_m2, _ = measured("EPSG:4326", shapely.box(0, 0, 1, 1))
    assert area_m2 / 1e6 == pytest.approx(12_308.8, rel=2e-4)


@given(
    lon=st.floats(-180, 180),
    lat=st.floats(-85, 85),
    width=st.floats(2e-5, 1e-3),
    height=st.floats(2e-5, 1e-3),
)
def test_buildings_in_degrees_agree_with_geodesics(
    lon: float, lat: float, width: float, height: float
) -> None:
    house = shapely.box(lon, lat, lon + width, lat + height)
    area_m2, perimeter_m = measured("EPSG:4326", house)
    true_m2, true_m = WGS84.geometry_area_perimeter(shapely.orient_polygons(house))
    # geographiclib sums areas of the size of a lune, so its own rounding is felt on a house.
    assert area_m2 == pytest.approx(true_m2, rel=1e-5, abs=1e-2)
    assert perimeter_m == pytest.approx(true_m, rel=1e-6, abs=1e-6)


def test_web_mercator_at_sixty_degrees_is_four_times_too_large() -> None:
    to_mercator = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    x, y = to_mercator.transform(10.0, 60.0)
    house = shapely.box(x, y, x + 20, y + 20)
    area_m2, perimeter_m = measured("EPSG:3857", house)
    assert house.area / area_m2 == pytest.approx(4, rel=0.01)
    assert house.length / perimeter_m == pytest.approx(2, rel=0.01)
    lon, lat = to_mercator.transform(*house.exterior.xy, direction="INVERSE")
    true_m2, true_m = WGS84.polygon_area_perimeter(lon[:-1], lat[:-1])
    assert area_m2 == pytest.approx(abs(true_m2), rel=1e-5)
    assert perimeter_m == pytest.approx(true_m, rel=1e-6)


def test_web_mercator_at_the_equator_is_not_taken_as_faithful() -> None:
    """There its scale is 1 along the parallel but 0.7 % off along the meridian."""
    assert isinstance(metric_of(frame_at("EPSG:3857", 1e6, 0)), TangentMetric)


def test_survey_feet_become_metres() -> None:
    # EPSG:2263, New York Long Island, counts US survey feet.
    house = shapely.box(1_000_000, 200_000, 1_000_100, 200_050)
    area_m2, perimeter_m = measured("EPSG:2263", house)
    assert isinstance(metric_of(frame_at("EPSG:2263", 1_000_000, 200_000)), PlanarMetric)
    assert area_m2 == pytest.approx(5000 * FOOT_US_M**2)
    assert perimeter_m == pytest.approx(300 * FOOT_US_M)


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        ("EPSG:32633", 500_000, 4_000_000),
        ("EPSG:25832", 300_000, 5_500_000),
        ("EPSG:2056", 2_600_000, 1_200_000),  # Switzerland
        ("EPSG:2154", 650_000, 6_860_000),  # France
        ("EPSG:27700", 530_000, 180_000),  # Great Britain
    ],
)
def test_national_grids_are_planes(crs: str, x: float, y: float) -> None:
    assert metric_of(frame_at(crs, x, y)) == PlanarMetric(1.0)


def test_equal_area_alone_does_not_make_a_plane_faithful() -> None:
    """Far from its centre an equal-area projection keeps areas but stretches lengths."""
    laea = "+proj=laea +lat_0=0 +lon_0=0 +ellps=WGS84 +units=m"
    project = pyproj.Proj(laea)
    lon = np.array([60.0, 60.0005, 60.0005, 60.0])
    lat = np.array([40.0, 40.0, 40.0005, 40.0005])
    house = shapely.Polygon(np.column_stack(project(lon, lat)))
    area_m2, perimeter_m = measured(laea, house)
    true_m2, true_m = WGS84.polygon_area_perimeter(lon, lat)
    assert area_m2 == pytest.approx(true_m2, rel=1e-4)
    assert perimeter_m == pytest.approx(true_m, rel=1e-5)
    assert abs(house.length / true_m - 1) > 0.02


def test_without_crs_the_ground_sampling_distance_is_the_scale() -> None:
    frame = GridFrame(Affine.identity(), None, 0.5)
    area_m2, perimeter_m = measure(np.array([shapely.box(0, 0, 10, 20)]), metric_of(frame))
    assert area_m2[0] == pytest.approx(50)
    assert perimeter_m[0] == pytest.approx(30)


def test_the_antimeridian_cuts_no_building() -> None:
    project = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3832", always_xy=True)  # PDC Mercator
    x, y = project.transform(180.0, -17.0)
    house = shapely.box(x - 10, y - 10, x + 10, y + 10)
    area_m2, _ = measured("EPSG:3832", house)
    assert area_m2 == pytest.approx(400 * math.cos(math.radians(17)) ** 2, rel=0.01)


def test_holes_count_in_area_and_perimeter() -> None:
    ring = shapely.box(0, 0, 30, 30).difference(shapely.box(10, 10, 20, 20))
    moved = shapely.transform(ring, lambda xy: xy + np.array([5e5, 4e6]))
    area_m2, perimeter_m = measured("EPSG:32633", moved)
    assert (area_m2, perimeter_m) == (pytest.approx(800), pytest.approx(160))


def test_compound_and_rasterio_crs_are_understood() -> None:
    from rasterio.crs import CRS

    assert metric_of(frame_at("EPSG:25832+5783", 500_000, 5_500_000)) == PlanarMetric(1.0)
    assert as_pyproj(CRS.from_epsg(2056)).to_epsg() == 2056
    local = CRS.from_proj4("+proj=tmerc +lat_0=1 +lon_0=2 +k=1 +x_0=3 +y_0=4 +ellps=bessel")
    assert as_pyproj(local).to_epsg() is None
    assert metric_of(frame_at(local, 0, 0)) == PlanarMetric(1.0)


def test_no_polygon_at_all() -> None:
    for crs in ("EPSG:32633", "EPSG:4326"):
        area_m2, perimeter_m = measure(
            np.array([], dtype=object), metric_of(frame_at(crs, 500_000, 4_000_000))
        )
        assert len(area_m2) == len(perimeter_m) == 0
