"""Labels land on their image or are refused by name; what can be mended is mended and said."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine

from buildext.errors import LabelError, NoValidPixelError
from buildext.learn.training.data.dataset_card import SceneEntry, ScenePaths
from buildext.learn.training.data.reading import read_scene
from buildext.learn.training.data.scenes import FILL_RGB, LabelledScene

WEST, NORTH, PITCH = 500_000.0, 5_000_000.0, 0.5
CRS = "EPSG:32630"


def write_raster(path: Path, bands: np.ndarray, shift_px: float = 0, **profile: Any) -> Path:
    profile = {"crs": CRS, **profile}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands.shape[0],
        height=bands.shape[1],
        width=bands.shape[2],
        dtype=bands.dtype,
        transform=Affine(PITCH, 0, WEST + shift_px * PITCH, 0, -PITCH, NORTH),
        **profile,
    ) as target:
        target.write(bands)
    return path


def box_px(col: float, row: float, right: float, bottom: float) -> shapely.Geometry:
    """A box given in pixels of the image."""
    return shapely.box(
        WEST + PITCH * col, NORTH - PITCH * bottom, WEST + PITCH * right, NORTH - PITCH * row
    )


def write_layer(
    path: Path,
    shapes: list[Any],
    crs: str | None = CRS,
    kind: str = "Polygon",
    layer: str | None = None,
    heights: np.ndarray | None = None,
) -> Path:
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(shapes, object)),
        field_data=[] if heights is None else [heights],
        fields=[] if heights is None else ["height_m"],
        geometry_type=kind,
        crs=crs,
        driver="GPKG",
        layer=layer,
        append=path.exists(),
    )
    return path


HOUSES = [box_px(10, 10, 30, 20), box_px(30, 10, 50, 20)]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    bands = np.random.default_rng(0).integers(0, 256, (3, 40, 60), dtype=np.uint8)
    return write_raster(tmp_path / "scene.tif", bands)


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    return write_layer(tmp_path / "houses.gpkg", HOUSES)


def read(image: Path, labels: Path, area: Path | None = None, **entry: str) -> LabelledScene:
    card_entry = SceneEntry(image=image.name, labels=labels.name, area=area and area.name, **entry)
    return read_scene(ScenePaths("x/scene", image, labels, area, card_entry), True)


def test_labels_in_another_crs_land_on_the_same_pixels(
    image: Path, houses: Path, tmp_path: Path
) -> None:
    turn = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform
    degrees = [shapely.transform(house, turn, interleaved=False) for house in HOUSES]
    other = write_layer(tmp_path / "degrees.gpkg", degrees, "EPSG:4326")
    labels = read(image, other).labels
    np.testing.assert_array_equal(labels, read(image, houses).labels)
    assert (labels == 2).sum() == 200


def test_labels_elsewhere_are_refused_with_both_extents(image: Path, tmp_path: Path) -> None:
    far = write_layer(tmp_path / "far.gpkg", [box_px(2010, 10, 2030, 20)])
    with pytest.raises(LabelError, match="outside the image") as caught:
        read(image, far)
    # Both in the image's CRS: metres of UTM.
    assert "labels (501005, 4999990, 501015, 4999995)" in str(caught.value)
    assert "image (500000, 4999980, 500030, 5000000)" in str(caught.value)
    assert "EPSG:32630" in str(caught.value)


def test_labels_around_an_image_are_a_sheet_without_buildings(
    image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    around = [box_px(-50, -50, -40, -40), box_px(100, 100, 110, 110)]
    layer = write_layer(tmp_path / "around.gpkg", around)
    assert not read(image, layer).labels.any()
    assert "none of its polygons lies on" in caplog.text


def test_no_polygon_is_a_mistake_without_an_area_and_a_statement_with_one(
    image: Path, tmp_path: Path
) -> None:
    empty = write_layer(tmp_path / "empty.gpkg", [])
    with pytest.raises(LabelError, match="without any polygon"):
        read(image, empty)
    area = write_layer(tmp_path / "area.gpkg", [box_px(0, 0, 20, 40)])
    scene = read(image, empty, area)
    assert not scene.labels.any()
    assert scene.known[:, :20].all()
    assert not scene.known[:, 20:].any()


def test_outside_the_area_nothing_is_known(image: Path, houses: Path, tmp_path: Path) -> None:
    area = write_layer(tmp_path / "area.gpkg", [box_px(0, 0, 40, 40)])
    scene = read(image, houses, area)
    assert scene.known.sum() == 40 * 40
    assert scene.valid.all()
    np.testing.assert_array_equal(scene.labels, read(image, houses).labels)
    assert read(image, houses).known.all()
    mask = write_raster(tmp_path / "mask.tif", np.ones((1, 40, 60), np.uint8))
    assert read(image, mask, area).known.sum() == 40 * 40


def test_an_area_elsewhere_is_refused(image: Path, houses: Path, tmp_path: Path) -> None:
    area = write_layer(tmp_path / "area.gpkg", [box_px(500, 0, 540, 40)])
    with pytest.raises(LabelError, match=r"area\.gpkg, which lies outside"):
        read(image, houses, area)


def test_heights_stand_by_label(
    image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shapes = [*HOUSES, box_px(0, 30, 5, 35), box_px(10, 30, 15, 35)]
    heights = np.array([4.5, 120.0, np.nan, -9.0])
    layer = write_layer(tmp_path / "tall.gpkg", shapes, heights=heights)
    scene = read(image, layer, height_field="height_m")
    assert scene.heights_m is not None
    np.testing.assert_array_equal(
        scene.heights_m, np.array([0, 4.5, 120, np.nan, np.nan], np.float32)
    )
    assert scene.heights_m[scene.labels[15, 40]] == 120
    assert "2 of 4 heights are unknown" in caplog.text
    assert read(image, layer).heights_m is None
    with pytest.raises(LabelError, match="without the field 'storeys'; its fields are height_m"):
        read(image, layer, height_field="storeys")


@pytest.mark.parametrize("quarter_turn", [False, True])
def test_offsets_stand_by_label_along_the_axes_of_the_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, quarter_turn: bool
) -> None:
    image = write_raster(tmp_path / "image.tif", np.full((3, 40, 60), 90, np.uint8))
    if quarter_turn:
        # Columns run north, rows run east.
        with rasterio.open(image, "r+") as file:
            file.transform = Affine(0, PITCH, WEST, PITCH, 0, NORTH)
    layer = tmp_path / "leaning.gpkg"
    pyogrio.raw.write(
        layer,
        geometry=shapely.to_wkb(
            np.array([shapely.box(WEST, NORTH - 9, WEST + 9, NORTH + 9)] * 2, object)
        ),
        field_data=[np.array([3.0, np.nan]), np.array([4.0, 1.0])],
        fields=["east_m", "north_m"],
        geometry_type="Polygon",
        crs=CRS,
    )
    # The order is the card's, not the file's.
    scene = read(image, layer, offset_fields=("east_m", "north_m"))
    assert scene.offsets_m is not None
    expected = (4.0, 3.0) if quarter_turn else (3.0, -4.0)
    np.testing.assert_array_equal(scene.offsets_m[1], np.array(expected, np.float32))
    assert np.isnan(scene.offsets_m[[0, 2]]).all()
    assert "1 of 2 offsets are unknown" in caplog.text
    swapped = read(image, layer, offset_fields=("north_m", "east_m")).offsets_m
    assert swapped is not None
    np.testing.assert_array_equal(
        swapped[1], np.array((3.0, 4.0) if quarter_turn else (4.0, -3.0), np.float32)
    )
    assert read(image, layer).offsets_m is None
    with pytest.raises(LabelError, match="without the field 'up_m'"):
        read(image, layer, offset_fields=("east_m", "up_m"))


def test_a_pixel_has_the_step_of_the_highest_part_of_a_roof_over_it(
    image: Path, houses: Path, tmp_path: Path
) -> None:
    # A tower on the podium, before it in the file and higher; the podium's own step is unknown
    # nowhere, and the second house has no part at all.
    parts = tmp_path / "parts.gpkg"
    shapes = [box_px(14, 12, 20, 18), box_px(10, 10, 30, 20), box_px(12, 12, 16, 14)]
    pyogrio.raw.write(
        parts,
        geometry=shapely.to_wkb(np.array(shapes, object)),
        field_data=[
            np.array([90.0, 12.0, np.nan]),
            np.array([0.0, 0.0, 5.0]),
            np.array([45.0, 6.0, 5.0]),
        ],
        fields=["height_m", "east_m", "north_m"],
        geometry_type="Polygon",
        crs=CRS,
    )
    tall = write_layer(tmp_path / "tall.gpkg", HOUSES, heights=np.array([90.0, 8.0]))
    entry = SceneEntry(
        image=image.name,
        labels=tall.name,
        height_field="height_m",
        offset_fields=("east_m", "north_m"),
        offset_labels=parts.name,
    )
    scene = read_scene(ScenePaths("x/scene", image, tall, None, entry, parts), True)
    assert scene.roof_parts is not None and scene.offsets_m is not None
    south_m = scene.offsets_m[scene.roof_parts][..., 1]
    tower, first = np.zeros(scene.labels.shape, bool), scene.labels == 1
    tower[12:18, 14:20] = True
    assert (south_m[tower] == -45).all()
    assert (south_m[first & ~tower] == -6).all()
    # Where no part lies, nothing is known; heights stay those of the buildings.
    assert np.isnan(south_m[~first]).all()
    np.testing.assert_array_equal(scene.heights_m, np.array([0, 90, 8], np.float32))


def test_heights_written_as_text_are_read(image: Path, tmp_path: Path) -> None:
    texts = np.array(["12.5", "about 3"], object)
    layer = write_layer(tmp_path / "text.gpkg", HOUSES, heights=texts)
    heights = read(image, layer, height_field="height_m").heights_m
    np.testing.assert_array_equal(heights, np.array([0, 12.5, np.nan], np.float32))


def test_a_layer_is_chosen_by_name(image: Path, houses: Path, tmp_path: Path) -> None:
    both = write_layer(tmp_path / "both.gpkg", HOUSES, layer="houses")
    write_layer(both, [box_px(0, 0, 40, 40)], layer="surveyed")
    with pytest.raises(LabelError, match="2 layers: houses, surveyed") as caught:
        read(image, both)
    assert "`layer`" in caught.value.hint
    scene = read(image, both, both, layer="houses", area_layer="surveyed")
    np.testing.assert_array_equal(scene.labels, read(image, houses).labels)
    assert scene.known.sum() == 40 * 40
    with pytest.raises(LabelError, match=r"'roofs', which .* has houses, surveyed"):
        read(image, both, layer="roofs")


def test_broken_rings_are_mended_and_counted(
    image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corners = [(10, 10), (30, 30), (30, 10), (10, 30)]
    bow_tie = shapely.Polygon([(WEST + PITCH * x, NORTH - PITCH * y) for x, y in corners])
    # A box with a spike, which falls into a polygon and a line.
    spike = [(40, 10), (50, 10), (59, 10), (50, 10), (50, 20), (40, 20)]
    spiked = shapely.Polygon([(WEST + PITCH * x, NORTH - PITCH * y) for x, y in spike])
    layer = write_layer(tmp_path / "broken.gpkg", [bow_tie, spiked, box_px(0, 0, 5, 5)])
    labels = read(image, layer).labels
    assert "mended 2 broken of 3 polygons" in caplog.text
    # Both halves of the bow tie; of the spike nothing but its box.
    assert (labels == 1).sum() == pytest.approx(200, abs=20)
    assert (labels == 2).sum() == 100
    assert (labels == 3).sum() == 25


def test_what_is_no_polygon_is_refused(image: Path, tmp_path: Path) -> None:
    points = [shapely.Point(WEST + 5, NORTH - 5)] * 2
    layer = write_layer(tmp_path / "points.gpkg", points, kind="Point")
    with pytest.raises(LabelError, match=r"2 features .* no polygons, such as a Point"):
        read(image, layer)


def test_a_layer_without_crs_and_a_file_that_is_none_are_refused(
    image: Path, tmp_path: Path
) -> None:
    path = tmp_path / "nowhere.geojsonl"
    path.write_text("no features\n")
    with pytest.raises(LabelError, match="cannot read"):
        read(image, path)
    csv = tmp_path / "wkt.csv"
    csv.write_text(f'WKT,name\n"{HOUSES[0].wkt}",a\n')
    with pytest.raises(LabelError, match="without a coordinate reference system"):
        read(image, csv)


@pytest.mark.parametrize(
    ("values", "warned"),
    [((0, 1), False), ((0, 255), False), ((0, 7), True), ((0, 1, 255), True)],
)
def test_every_value_above_0_of_a_mask_is_building(
    image: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    values: tuple[int, ...],
    warned: bool,
) -> None:
    band = np.zeros((1, 40, 60), np.uint8)
    for column, value in enumerate(values):
        band[:, :, 10 * column : 10 * column + 10] = value
    mask = write_raster(tmp_path / "mask.tif", band)
    labels = read(image, mask).labels
    np.testing.assert_array_equal(labels, band[0] > 0)
    assert ("all above 0 are building" in caplog.text) == warned


def test_the_nodata_tag_of_a_mask_is_ignored_with_a_warning(
    image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    band = np.zeros((1, 40, 60), np.uint8)
    band[0, :10] = 255
    mask = write_raster(tmp_path / "mask.tif", band, nodata=255)
    scene = read(image, mask)
    assert scene.labels.sum() == 600
    assert scene.valid.all()
    assert scene.known.all()
    assert "nodata tag 255 is ignored" in caplog.text


def test_a_mask_on_another_grid_is_refused(image: Path, tmp_path: Path) -> None:
    band = np.ones((1, 40, 60), np.uint8)
    shifted = write_raster(tmp_path / "shifted.tif", band, shift_px=7)
    with pytest.raises(LabelError, match="corners lie 7 px off"):
        read(image, shifted)
    zone = write_raster(tmp_path / "zone.tif", band, crs="EPSG:32631")
    with pytest.raises(LabelError, match="px off"):
        read(image, zone)
    nearly = write_raster(tmp_path / "nearly.tif", band, shift_px=0.3)
    assert read(image, nearly).labels.all()
    with pytest.raises(LabelError, match="`height_field` for the mask"):
        read(image, nearly, height_field="height_m")


def test_a_mask_without_a_place_is_trusted(image: Path, tmp_path: Path) -> None:
    import cv2

    band = np.zeros((40, 60), np.uint8)
    band[:7] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), band)
    assert read(image, tmp_path / "mask.png").labels.sum() == 7 * 60


def test_an_image_without_valid_pixels_is_refused(houses: Path, tmp_path: Path) -> None:
    empty = write_raster(tmp_path / "empty.tif", np.zeros((3, 40, 60), np.uint8), nodata=0)
    with pytest.raises(NoValidPixelError, match="without any valid pixel"):
        read(empty, houses)


def test_nan_is_no_data(houses: Path, tmp_path: Path) -> None:
    bands = np.random.default_rng(0).uniform(0, 1, (3, 40, 60)).astype(np.float32)
    whole = read(write_raster(tmp_path / "whole.tif", bands), houses)
    bands[1, :5] = np.nan
    scene = read(write_raster(tmp_path / "nan.tif", bands), houses)
    assert not scene.valid[:5].any()
    assert scene.valid[5:].all()
    assert (scene.image[:5] == FILL_RGB).all()
    # The stretch is of what is valid: nearly that of the whole.
    difference = scene.image[5:].astype(int) - whole.image[5:]
    assert np.abs(difference).max() <= 2


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
