from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import MaskFlags

from buildext.errors import DiskFullError, OutputExistsError
from buildext.extract.probability import open_probability
from buildext.footprints.raw import Block
from buildext.grid.window import Window
from tests.footprints.made import small_disk

TRANSFORM = Affine(0.3, 0, 500_000, 0, -0.3, 4_000_000)
UTM = CRS.from_epsg(32633)
HEIGHT, WIDTH = 700, 1300


def scene() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    random = np.random.default_rng(3)
    probability = random.integers(0, 256, (2, HEIGHT, WIDTH), dtype=np.uint8)
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[:90, :400] = False
    probability[:, ~valid] = 0
    return probability, valid


def write(
    path: Path, *, overwrite: bool = False, crs: CRS | None = UTM, fail: bool = False
) -> None:
    probability, valid = scene()
    with open_probability(
        path,
        (HEIGHT, WIDTH),
        TRANSFORM,
        crs,
        ["building", "contact"],
        metadata={"model": "m"},
        overwrite=overwrite,
    ) as writer:
        # Blocks of odd sizes that do not fit the file's tiles.
        for row in range(0, HEIGHT, 193):
            for col in range(0, WIDTH, 377):
                part = Window(row, col, min(193, HEIGHT - row), min(377, WIDTH - col))
                block = Block(part, probability[:, *part.slices], valid[part.slices])
                writer.write(block)
        if fail:
            raise KeyError("stopped")


def test_values_mask_and_place_come_back(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    write(path)
    probability, valid = scene()
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(raster.read(), probability)
        np.testing.assert_array_equal(raster.dataset_mask() > 0, valid)
        assert raster.mask_flag_enums == ([MaskFlags.per_dataset],) * 2
        assert raster.nodata is None
        assert raster.crs == UTM
        assert raster.transform == TRANSFORM
        assert raster.descriptions == ("building", "contact")
        assert raster.scales == pytest.approx((1 / 255, 1 / 255))
        assert json.loads(raster.tags()["buildext"]) == {"model": "m"}
    assert list(tmp_path.iterdir()) == [path]


def test_steps_from_roof_to_footprint_are_declared_in_metres(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    names = ["building", "offset_x", "offset_y"]
    values = np.array([255, 255, 0], np.uint8)[:, None, None] * np.ones((3, 8, 8), np.uint8)
    with open_probability(
        path, (8, 8), TRANSFORM, UTM, names, offset_range_m=60.0, metadata={}
    ) as writer:
        writer.write(Block(Window(0, 0, 8, 8), values, np.ones((8, 8), np.bool_)))
    with rasterio.open(path) as raster:
        shown = raster.read()[:, 0, 0] * np.array(raster.scales) + np.array(raster.offsets)
    np.testing.assert_allclose(shown, [1, 60, -60])


def test_it_is_a_cog_with_overviews(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    write(path)
    with rasterio.open(path) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.block_shapes == [(512, 512)] * 2
        assert raster.overviews(1) == raster.overviews(2) == [2, 4]
        half = raster.read(1, out_shape=(HEIGHT // 2, WIDTH // 2)).astype(float)
    probability, valid = scene()
    pairs = probability[0].reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3))
    inside = valid[::2, ::2]
    assert np.abs(half - pairs)[inside].max() <= 1


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    path.write_text("precious")
    with pytest.raises(OutputExistsError):
        write(path)
    assert path.read_text() == "precious"
    with pytest.raises(KeyError):
        write(path, overwrite=True, fail=True)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
    write(path, overwrite=True)
    with rasterio.open(path) as raster:
        assert raster.count == 2


def test_a_scene_without_crs(tmp_path: Path) -> None:
    write(tmp_path / "p.tif", crs=None)
    with rasterio.open(tmp_path / "p.tif") as raster:
        assert raster.crs is None


@pytest.mark.parametrize("kilobytes", [300, 2000, 2600, 4000])
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, kilobytes: int) -> None:
    with small_disk(tmp_path / "small", kilobytes) as folder:
        with pytest.raises(DiskFullError):
            write(folder / "p.tif")
        assert not list(folder.iterdir())
