"""Scenes come in true metres, on square pixels, with every building its own number."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from buildext.errors import BandError, LabelError, NoCrsError
from buildext.learn.training.data.dataset_card import SceneEntry, ScenePaths
from buildext.learn.training.data.reading import read_scene
from buildext.learn.training.data.scenes import FILL_RGB, LabelledScene


def write(path: Path, bands: np.ndarray, crs: str | None, pitch: float, **extra: object) -> Path:
    x, y = (36.0, 60.0) if crs == "EPSG:4326" else (500_000.0, 8_399_737.0)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=bands.shape[1],
        width=bands.shape[2],
        count=bands.shape[0],
        dtype=bands.dtype,
        crs=CRS.from_string(crs) if crs else None,
        transform=Affine(pitch, 0, x, 0, -pitch, y),
        **extra,
    ) as target:
        target.write(bands)
    return path


def read(
    image: Path, labels: Path, instances: bool = False, area: Path | None = None, **entry: str
) -> LabelledScene:
    card_entry = SceneEntry(image=image.name, labels=labels.name, **entry)
    return read_scene(ScenePaths(f"x/{image.stem}", image, labels, area, card_entry), instances)


@pytest.fixture
def bands() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 40, 60), dtype=np.uint8)


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    values = np.zeros((1, 40, 60), np.uint8)
    values[0, 10:20, 30:50] = 255
    return write(tmp_path / "mask.tif", values, "EPSG:3857", 0.3)


def test_polygons_keep_their_numbers(dataset_folder: Path) -> None:
    scene = read(dataset_folder / "scene.tif", dataset_folder / "buildings.gpkg", instances=True)
    assert scene.image.shape == (512, 640, 3)
    # 3 degrees of UTM zone from its middle meridian the map is true to 0.04 %.
    assert scene.gsd_m == pytest.approx(0.25, rel=1e-3)
    numbers, counts = np.unique(scene.labels, return_counts=True)
    # Background, and eleven rows of ten pairs.
    assert len(numbers) == 1 + 11 * 10 * 2
    assert set(counts[1:].tolist()) == {20 * 24}


def test_a_web_mercator_pixel_is_measured_on_the_ground(
    bands: np.ndarray, mask: Path, tmp_path: Path
) -> None:
    image = write(tmp_path / "scene.tif", bands, "EPSG:3857", 0.3)
    scene = read(image, mask)
    # y = 8 399 737 m is 60 degrees north, where a Mercator metre is half a metre.
    assert scene.gsd_m == pytest.approx(0.15, rel=5e-3)
    assert set(np.unique(scene.labels)) == {0, 1}
    assert scene.labels.sum() == 200
    np.testing.assert_array_equal(scene.image, np.moveaxis(bands, 0, -1))


def test_degrees_become_square_pixels(bands: np.ndarray, tmp_path: Path) -> None:
    pitch = 0.3 / 111_412.0  # a degree of latitude at 60 degrees north, in metres
    values = np.zeros((1, 40, 60), np.uint8)
    values[0, 10:20, 30:50] = 1
    image = write(tmp_path / "scene.tif", bands, "EPSG:4326", pitch)
    mask = write(tmp_path / "mask.tif", values, "EPSG:4326", pitch)
    scene = read(image, mask)
    assert scene.gsd_m == pytest.approx(0.3 * math.cos(math.radians(60)), rel=0.01)
    height, width = scene.labels.shape
    assert width == 60
    assert height == pytest.approx(80, abs=1)
    assert scene.labels.sum() == pytest.approx(20 * 20, rel=0.06)


def test_16_bits_are_stretched_and_nodata_is_fill(mask: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    bands = rng.integers(300, 1800, (3, 40, 60)).astype(np.uint16)
    bands[:, :5] = 65535
    image = write(tmp_path / "scene.tif", bands, "EPSG:3857", 0.3, nodata=65535)
    scene = read(image, mask)
    assert not scene.valid[:5].any()
    assert scene.valid[5:].all()
    assert (scene.image[:5] == FILL_RGB).all()
    low, high = np.percentile(bands[:, 5:], [1, 99])
    expected = np.clip((np.moveaxis(bands, 0, -1)[5:] - low) * 255 / (high - low), 0, 255)
    np.testing.assert_allclose(scene.image[5:], expected, atol=0.51)


def test_one_band_is_repeated_and_two_are_refused(
    bands: np.ndarray, mask: Path, tmp_path: Path
) -> None:
    gray = write(tmp_path / "gray.tif", bands[:1], "EPSG:3857", 0.3)
    scene = read(gray, mask)
    for channel in range(3):
        np.testing.assert_array_equal(scene.image[..., channel], bands[0])
    two = write(tmp_path / "two.tif", bands[:2], "EPSG:3857", 0.3)
    with pytest.raises(BandError, match="2 bands"):
        read(two, mask)


def test_what_does_not_fit_is_refused(bands: np.ndarray, mask: Path, tmp_path: Path) -> None:
    nowhere = write(tmp_path / "nowhere.tif", bands, None, 0.3)
    with pytest.raises(NoCrsError):
        read(nowhere, mask)
    small = write(tmp_path / "small.tif", bands[:, :20], "EPSG:3857", 0.3)
    with pytest.raises(LabelError, match="mask"):
        read(small, mask)
