"""The geometry is exact: roofs, facades, occlusion and perspective against closed formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from buildext.grid.window import Window
from buildext.simulate.city import Roof
from buildext.simulate.faces import build_faces
from buildext.simulate.render import Rendered
from buildext.simulate.roofs import roof_pieces
from buildext.simulate.solids import level_pieces
from buildext.simulate.view import Central, Parallel, View, frame_camera, satellite
from buildext.simulate.zbuffer import draw
from tests.simulate.scenes import GSD_M, city, renderer

WINDOW = Window(0, 0, 512, 512)


def drawn(
    polygons: list[shapely.Polygon], top_m: list[float], view: View
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights, solids (-1: ground) and whether a wall is seen, of level prisms."""
    outlines = shapely.orient_polygons(np.array(polygons))
    pieces = level_pieces(outlines, np.array(top_m))
    faces = build_faces(pieces, outlines, np.zeros(len(outlines)))
    seen, number, _ = faces.seen(view)
    height, face = draw(seen, WINDOW)
    solid = np.append(faces.solid[number], -1)[face]
    return height, solid, np.append(faces.wall[number], False)[face]


def burned(polygon: shapely.Geometry) -> np.ndarray:
    return rasterize([polygon], out_shape=(512, 512), dtype=np.uint8) == 1


def corners_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, cols = np.nonzero(mask)
    return cols.min(), rows.min(), cols.max() + 1, rows.max() + 1


@settings(max_examples=25)
@given(
    st.floats(0, 55),
    st.floats(0, 360),
    st.floats(1, 60),
    st.lists(st.tuples(st.floats(150, 350), st.floats(150, 350)), min_size=3, max_size=7),
)
def test_a_roof_is_its_outline_moved(
    off_nadir_deg: float, azimuth_deg: float, height_m: float, points: list[tuple[float, float]]
) -> None:
    outline = shapely.MultiPoint(points).convex_hull
    if outline.geom_type != "Polygon" or outline.area < 50:
        return
    view = satellite(off_nadir_deg, azimuth_deg, GSD_M)
    _, solid, wall = drawn([outline], [height_m], view)
    length_px = height_m * math.tan(math.radians(off_nadir_deg)) / GSD_M
    azimuth = math.radians(azimuth_deg)
    # Away from the sensor; rows run southwards.
    dx, dy = -length_px * math.sin(azimuth), length_px * math.cos(azimuth)
    expected = burned(shapely.transform(outline, lambda xy: xy + np.array([dx, dy])))
    # Only pixel centres that lie on the outline to a rounding error may differ.
    assert ((solid == 0) & ~wall != expected).sum() <= 1


@pytest.mark.parametrize("azimuth_deg", [0, 90, 180, 270])
def test_a_facade_is_height_times_width_times_tangent(azimuth_deg: int) -> None:
    view = satellite(40, azimuth_deg, GSD_M)
    _, solid, wall = drawn([shapely.box(220, 220, 280, 260)], [30.0], view)
    width_px = 60 if azimuth_deg in (0, 180) else 40
    area_px = width_px * 30.0 * math.tan(math.radians(40)) / GSD_M
    assert wall.sum() == pytest.approx(area_px, abs=width_px / 2)
    assert ((solid == 0) & ~wall).sum() == 60 * 40


def test_the_height_on_a_facade_rises_from_foot_to_roof() -> None:
    # The sensor stands in the south: the southern wall is seen, the roof leans northwards.
    view = satellite(45, 180, GSD_M)
    height, _, wall = drawn([shapely.box(220, 220, 280, 260)], [20.0], view)
    rows = np.flatnonzero(wall[:, 250])
    assert (rows.min(), rows.max()) == (220, 259)
    expected = (260 - (rows + 0.5)) * GSD_M / math.tan(math.radians(45))
    assert height[rows, 250] == pytest.approx(expected, abs=2e-3)


def test_a_tower_in_front_hides_what_stands_behind_it() -> None:
    # Sensor in the south; the tower (solid 1) stands south of the house.
    house, tower = shapely.box(230, 200, 270, 230), shapely.box(220, 240, 280, 280)
    view = satellite(45, 180, GSD_M)
    _, solid, wall = drawn([house, tower], [5.0, 40.0], view)
    swept = burned(shapely.box(220, 240 - 80, 280, 280))
    assert ((solid == 1) == swept).all()
    assert not (solid == 0).any()
    # Seen from the north, the house stands in front.
    _, solid, wall = drawn([house, tower], [5.0, 40.0], satellite(45, 0, GSD_M))
    assert ((solid == 0) & ~wall).sum() == 40 * 30


def test_a_tower_of_tiers_is_seen_tier_by_tier() -> None:
    podium, tower = shapely.box(200, 200, 300, 300), shapely.box(240, 240, 260, 260)
    _, solid, wall = drawn([podium, tower], [10.0, 50.0], Parallel(1.0, 0.0))
    roof = burned(shapely.box(210, 200, 310, 300))
    hidden = burned(shapely.box(250, 240, 310, 260))
    assert ((solid == 0) & ~wall == roof & ~hidden).all()
    assert ((solid == 1) & ~wall == burned(shapely.box(290, 240, 310, 260))).all()


def test_lean_in_perspective_grows_linearly_from_the_principal_point() -> None:
    view = Central(256.0, 256.0, 400.0)
    shifts = []
    for distance in (40, 80, 120, 160):
        box = shapely.box(256 + distance - 8, 248, 256 + distance + 8, 264)
        _, solid, wall = drawn([box], [20.0], view)
        west, _, east, _ = corners_of((solid == 0) & ~wall)
        shifts.append((west + east) / 2 - (256 + distance))
    expected = np.array([40, 80, 120, 160]) * 20 / 380
    assert shifts == pytest.approx(expected, abs=0.51)


def test_a_camera_far_away_sees_as_a_satellite_does() -> None:
    boxes, tops = [shapely.box(100, 100, 140, 150), shapely.box(300, 320, 360, 350)], [30.0, 12.0]
    near = drawn(boxes, tops, frame_camera(20, 70, GSD_M, 5e6, (256, 256)))
    far = drawn(boxes, tops, satellite(20, 70, GSD_M))
    assert (near[1] != far[1]).mean() < 1e-4
    assert np.abs(near[0] - far[0])[near[1] == far[1]].max() < 0.02


@pytest.mark.parametrize("view", [satellite(35, 100, GSD_M), Central(100.0, 400.0, 150.0)])
def test_ground_and_image_are_inverse(view: View) -> None:
    rng = np.random.default_rng(0)
    x, y, z = rng.uniform(0, 500, 50), rng.uniform(0, 500, 50), rng.uniform(0, 60, 50)
    back = view.to_ground(*view.to_image(x, y, z), z)
    assert back[0] == pytest.approx(x) and back[1] == pytest.approx(y)


@pytest.mark.parametrize("view", [satellite(35, 100, GSD_M), Central(100.0, 400.0, 250.0)])
def test_the_split_into_windows_leaves_no_trace(view: View) -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 480, (60, 2))
    boxes = [shapely.box(x, y, x + w, y + h) for (x, y), (w, h) in
             zip(corners, rng.uniform(8, 60, (60, 2)), strict=True)]  # fmt: skip
    outlines = shapely.orient_polygons(np.array(boxes))
    pieces = level_pieces(outlines, rng.uniform(2, 80, 60))
    seen, _, _ = build_faces(pieces, outlines, np.zeros(60)).seen(view)
    whole = draw(seen, WINDOW)
    for row in range(0, 512, 128):
        for col in range(0, 512, 200):
            part = Window(row, col, 128, min(200, 512 - col))
            height, face = draw(seen, part)
            assert (height == whole[0][part.slices]).all()
            assert (face == whole[1][part.slices]).all()


@pytest.mark.parametrize(
    ("roof", "pieces", "eaves_m"),
    [(Roof.GABLE, 2, 15.0), (Roof.HIP, 4, 15.0), (Roof.PYRAMID, 4, 15.0), (Roof.SHED, 1, 11.0)],
)
def test_pitched_roofs_close_their_tier(roof: Roof, pieces: int, eaves_m: float) -> None:
    """A box of 40 x 20 m, 20 m high: the pitch is a half, the rise at most 9 m."""
    outline = shapely.orient_polygons(np.array([shapely.box(200, 200, 280, 240)]))
    made = roof_pieces(outline, np.zeros(1), np.array([20.0]), np.array([roof]), GSD_M)
    assert len(made.polygons) == pieces
    assert shapely.area(made.polygons).sum() == pytest.approx(80 * 40)
    xy, piece = shapely.get_coordinates(made.polygons, return_index=True)
    z = (made.slope_xy[piece] * xy).sum(axis=1) + made.offset_m[piece]
    assert z.max() == pytest.approx(20.0) and z.min() == pytest.approx(eaves_m)
    faces = build_faces(made, outline, np.zeros(1))
    # No wall stands inside: from straight above nothing but roof is seen, and no gap in it.
    seen, number, _ = faces.seen(Parallel(0.0, 0.0))
    height, face = draw(seen, WINDOW)
    assert ((face >= 0) == burned(outline[0])).all()
    assert not faces.wall[number].any()
    assert height.max() == pytest.approx(20.0, abs=0.2)


def test_the_outline_of_a_rendered_roof_is_exact_with_parapets_and_boxes() -> None:
    """What stands on a roof does not reach over its outline, even at 45°."""
    made = city([shapely.box(60, 60, 130, 120)], [25.0])
    tile: Rendered = renderer(made, satellite(45, 140, GSD_M)).render(WINDOW)
    shift_px = 25.0 / GSD_M
    dx = -shift_px * math.sin(math.radians(140))
    dy = shift_px * math.cos(math.radians(140))
    expected = burned(shapely.box(120 + dx, 120 + dy, 260 + dx, 240 + dy))
    assert (tile.roof[expected] == 0).mean() > 0.995  # a crown may cover a few pixels
    assert not (tile.roof[~expected] == 0).any()
