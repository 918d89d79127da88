"""Many files as one scene."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import Resampling, calculate_default_transform, reproject

from buildext.errors import NoCrsError, SceneError
from buildext.grid.window import Window
from buildext.scene import Scene, open_scene
from tests.scene.rasters import OPTIONS, noise, utm, write

# rasterio itself multiplies affines in a way that newer affines announce to retire.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


def whole(scene: Scene) -> Window:
    return Window(0, 0, scene.height, scene.width)


@pytest.mark.parametrize("gsd_m", [None, 0.45, 0.17])
def test_overlapping_files_equal_one(tmp_path: Path, gsd_m: float | None) -> None:
    pixels = noise(100, 120)
    one = write(tmp_path / "one.tif", pixels)
    parts = [
        write(tmp_path / "b.tif", pixels[:, :, 50:], utm(0.3, 50, 0)),
        write(tmp_path / "a.tif", pixels[:, :70, :60]),
        write(tmp_path / "c.tif", pixels[:, 40:, :70], utm(0.3, 0, 40)),
    ]
    options = replace(OPTIONS, gsd_m=gsd_m)
    with open_scene([one], options) as single, open_scene(parts, options) as mosaic:
        assert (mosaic.height, mosaic.width) == (single.height, single.width)
        assert mosaic.transform.almost_equals(single.transform, 1e-6)
        assert mosaic.gsd_m == pytest.approx(single.gsd_m, rel=1e-9)
        read, valid = mosaic.read(whole(mosaic))
        np.testing.assert_array_equal(read, single.read(whole(single))[0])
        assert valid.all()


def test_the_first_valid_file_counts(tmp_path: Path) -> None:
    first, second = noise(30, 30, seed=1), noise(30, 30, seed=2)
    mask = noise(30, 30, 1, seed=3)[0] > 128
    paths = [
        write(tmp_path / "1.tif", first, mask=mask),
        write(tmp_path / "2.tif", second, utm(0.3, 10, 5)),
    ]
    with open_scene(paths, OPTIONS) as scene:
        read, valid = scene.read(Window(5, 10, 20, 20))
        assert valid.all()
        expected = np.where(mask[5:25, 10:30], first[:, 5:25, 10:30], second[:, :20, :20])
        np.testing.assert_array_equal(read, expected)
        np.testing.assert_array_equal(scene.read(Window(0, 0, 30, 10))[1], mask[:, :10])


def test_a_gap_between_files_is_invalid_and_empty(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "1.tif", noise(20, 20)),
        write(tmp_path / "2.tif", noise(20, 20), utm(0.3, 100, 0)),
    ]
    with open_scene(paths, OPTIONS) as scene:
        assert scene.covered(Window(0, 20, 20, 80)) is None
        assert scene.covered(Window(0, 19, 20, 81)) == Window(0, 19, 20, 81).intersection(
            Window(0, 0, 20, 20)
        )
        assert not scene.read(Window(0, 20, 20, 80))[1].any()
        assert scene.valid_fraction == pytest.approx(40 / 120)


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326", "EPSG:32629"])
def test_another_crs_is_warped_to_the_first(tmp_path: Path, crs: str) -> None:
    rows, cols = np.mgrid[:120, :140]
    wave = 128 + 60 * np.sin(rows / 9) + 60 * np.cos(cols / 7)
    pixels = np.repeat(wave[None], 3, axis=0).astype(np.uint8)
    native = write(tmp_path / "a.tif", pixels)
    with rasterio.open(native) as file:
        transform, width, height = calculate_default_transform(
            file.crs, crs, file.width, file.height, *file.bounds
        )
        warped = np.zeros((3, height, width), np.uint8)
        reproject(
            pixels,
            warped,
            file.transform,
            src_crs=file.crs,
            dst_transform=transform,
            dst_crs=crs,
            resampling=Resampling.cubic,
            dst_nodata=0,
        )
    other = write(tmp_path / "b.tif", warped, transform, crs, nodata=0)
    corner = write(tmp_path / "corner.tif", pixels[:, :40, :40])
    with open_scene([corner, other], OPTIONS) as scene:
        assert scene.crs.to_epsg() == 32630
        col, row = (round(-v) for v in ~utm(0.3) @ (scene.transform @ (0, 0)))
        read, valid = scene.read(Window(row, col, 120, 140))
    assert valid[2:-2, 2:-2].all()
    np.testing.assert_array_equal(read[:, :40, :40], pixels[:, :40, :40])
    # Warped there and back: grey values of the wave, at most 15 a pixel steep, hardly move.
    difference = np.abs(read.astype(int) - pixels)[:, 3:-3, 3:-3]
    assert difference.max() <= 6
    assert difference.mean() < 1.0


def test_nan_does_not_bleed_through_a_warp(tmp_path: Path) -> None:
    pixels = noise(40, 40).astype(np.float32)
    pixels[:, 10:20, 10:20] = np.nan
    path = write(tmp_path / "b.tif", pixels, utm(0.3, 0.5, 0.5))
    anchor = write(tmp_path / "a.tif", noise(5, 5).astype(np.float32), utm(0.3, -10, -10))
    with open_scene([anchor, path], replace(OPTIONS, scale=(0, 255))) as scene:
        _, valid = scene.read(Window(11, 11, 38, 38))
    holes = np.argwhere(~valid)
    assert 64 <= len(holes) <= 121
    assert holes.min() >= 8
    assert holes.max() <= 20


def test_a_vrt_equals_its_files(tmp_path: Path) -> None:
    pixels = noise(40, 60)
    write(tmp_path / "a.tif", pixels[:, :, :30])
    write(tmp_path / "b.tif", pixels[:, :, 30:], utm(0.3, 30, 0))
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{b}">'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
            f'<SourceBand>{b}</SourceBand><SrcRect xOff="0" yOff="0" xSize="30" ySize="40"/>'
            f'<DstRect xOff="{off}" yOff="0" xSize="30" ySize="40"/></SimpleSource>'
            for name, off in (("a.tif", 0), ("b.tif", 30))
        )
        + "</VRTRasterBand>"
        for b in (1, 2, 3)
    )
    transform = ", ".join(map(str, utm(0.3).to_gdal()))
    vrt = tmp_path / "city.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="60" rasterYSize="40"><SRS>EPSG:32630</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>{bands}</VRTDataset>"
    )
    with open_scene([vrt], OPTIONS) as scene:
        np.testing.assert_array_equal(scene.read(whole(scene))[0], pixels)


def test_a_folder_is_its_rasters(tmp_path: Path) -> None:
    folder = tmp_path / "tiles"
    folder.mkdir()
    write(folder / "b.TIF", noise(20, 20, seed=1), utm(0.3, 20, 0))
    write(folder / "a.tif", noise(20, 20), mask=np.ones((20, 20), bool), internal_mask=False)
    (folder / "readme.txt").write_text("not a raster")
    with open_scene([folder], OPTIONS) as scene:
        assert [Path(n).name for n in scene.names] == ["a.tif", "b.TIF"]
        assert (scene.height, scene.width) == (20, 40)


def test_files_of_different_kinds_are_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.tif", noise(20, 20))
    b = write(tmp_path / "b.tif", noise(20, 20).astype(np.uint16))
    with pytest.raises(SceneError, match=r"3 bands of uint16; expected 3 of uint8"):
        open_scene([a, b], OPTIONS)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_without_a_place_cannot_be_a_mosaic(tmp_path: Path) -> None:
    a = write(tmp_path / "a.tif", noise(20, 20))
    b = write(tmp_path / "b.tif", noise(20, 20), Affine.identity(), None)
    c = write(tmp_path / "c.tif", noise(20, 20), Affine.identity(), None)
    options = replace(OPTIONS, pixel_units=True)
    with pytest.raises(NoCrsError, match=r"b\.tif"):
        open_scene([a, b], options)
    with pytest.raises(SceneError, match="several files without a geotransform"):
        open_scene([b, c], options)


def test_only_touched_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [
        write(tmp_path / f"{i:03}.tif", noise(16, 16, seed=i), utm(0.3, 16 * i, 0))
        for i in range(120)
    ]
    with open_scene(paths, OPTIONS) as scene:
        scene.read(whole(scene))
        assert len(scene._plane._handles) == 96  # kept by this thread
        from buildext.scene import plane

        opened: list[str] = []
        real = plane.open_raster
        monkeypatch.setattr(
            plane, "open_raster", lambda name, *a, **k: opened.append(name) or real(name, *a, **k)
        )
        scene.read(Window(0, 40, 16, 20))
        assert [Path(n).name for n in opened] == ["002.tif", "003.tif"]


def test_resampling_onto_the_first_grid_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a = write(tmp_path / "a.tif", noise(20, 20))
    b = write(tmp_path / "b.tif", noise(20, 20), utm(0.3, 3.4, 0))
    with caplog.at_level(logging.INFO, "buildext.scene"):
        open_scene([a, b], OPTIONS).close()
    assert "b.tif is resampled" in caplog.text
