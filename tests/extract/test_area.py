"""The area of interest: how it is said, and how it is carried over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

from buildext.errors import InputError, MissingInputError, NoCrsError, UsageError
from buildext.extract.area import Area, read_area

BOX = shapely.box(32.5, 0.3, 32.6, 0.4)


def write_layer(path: Path, geometries: list[shapely.Geometry], crs: str | None) -> Path:
    kinds = {geometry.geom_type for geometry in geometries}
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array(geometries)),
        [],
        [],
        geometry_type=kinds.pop() if len(kinds) == 1 else "Unknown",
        crs=crs,
    )
    return path


def test_a_box_is_in_the_crs_of_the_scene() -> None:
    area = read_area("-3,4.5,1e2,8")
    assert area.crs is None
    assert area.polygons.tolist() == [shapely.box(-3, 4.5, 100, 8)]
    assert area.in_crs("EPSG:3857") is area.polygons
    assert area.in_crs(None) is area.polygons


@pytest.mark.parametrize("text", ["5,0,1,9", "0,9,5,1", "1,1,1,9", "nan,0,5,5"])
def test_a_box_must_rise(text: str) -> None:
    with pytest.raises(UsageError, match="rising"):
        read_area(text)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "nowhere.gpkg"])
def test_what_is_no_box_is_a_path(text: str) -> None:
    with pytest.raises(MissingInputError, match="does not exist"):
        read_area(text)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb"])
def test_a_layer_is_read_with_its_crs(tmp_path: Path, suffix: str) -> None:
    area = read_area(str(write_layer(tmp_path / f"a{suffix}", [BOX], "EPSG:4326")))
    assert shapely.equals(area.polygons[0], BOX)
    assert "4326" in str(area.crs)


def test_only_polygons_count(tmp_path: Path) -> None:
    mixed = [BOX, shapely.Point(32.5, 0.3), shapely.MultiPolygon([BOX])]
    area = read_area(str(write_layer(tmp_path / "a.gpkg", mixed, "EPSG:4326")))
    assert [polygon.geom_type for polygon in area.polygons] == ["Polygon", "MultiPolygon"]
    points = write_layer(tmp_path / "b.gpkg", [shapely.Point(1, 1)], "EPSG:4326")
    with pytest.raises(InputError, match="no polygon"):
        read_area(str(points))


def test_a_height_in_the_layer_does_no_harm(tmp_path: Path) -> None:
    tall = shapely.force_3d(BOX, 7.0)
    area = read_area(str(write_layer(tmp_path / "a.geojson", [tall], "EPSG:4326")))
    assert not shapely.has_z(area.polygons).any()


def test_a_file_that_is_no_layer(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="cannot be read as a vector layer"):
        read_area(str(path))


def test_edges_are_carried_along_their_whole_length() -> None:
    # A parallel of 40 degrees is a curve in UTM: its middle lies about 130 m south of the chord
    # between ends one degree to each side of the central meridian.
    area = Area(np.array([shapely.box(14, 40, 16, 41)]), "EPSG:4326")
    (carried,) = area.in_crs("EPSG:32633")
    chord = shapely.LineString([carried.exterior.coords[0], carried.exterior.coords[-2]])
    assert chord.length > 0
    south = min(y for _, y in carried.exterior.coords)
    ends = [y for x, y in carried.exterior.coords if abs(x - carried.bounds[0]) < 5000]
    assert min(ends) - south > 400
    assert len(carried.exterior.coords) > 90


def test_an_area_with_a_crs_needs_a_scene_with_one() -> None:
    area = Area(np.array([BOX]), "EPSG:4326")
    with pytest.raises(NoCrsError, match="without one"):
        area.in_crs(None)
