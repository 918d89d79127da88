"""What `Scene.read` gives: any window, any way of saying what is invalid, any band layout."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from buildext.errors import BandError, NoValidPixelError, SceneError
from buildext.grid.window import Window
from buildext.scene import Scene, open_scene
from tests.scene.rasters import OPTIONS, noise, utm, write

FILL = np.array(OPTIONS.fill, np.uint8)[:, None, None]


def whole(scene: Scene) -> Window:
    return Window(0, 0, scene.height, scene.width)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """Scenes of every reading path, each with holes, kept open for the whole module."""
    folder = tmp_path_factory.mktemp("scenes")
    pixels, holes = noise(70, 90), noise(70, 90, 1, seed=1)[0] > 60
    native = write(folder / "native.tif", pixels, mask=holes)
    fine = write(folder / "fine.tif", pixels, utm(0.037), mask=holes)
    coarse = write(folder / "coarse.tif", pixels, utm(0.83), mask=holes)
    right = write(folder / "right.tif", noise(50, 60, seed=2), utm(0.3, 80, -10), nodata=77)
    shifted = write(folder / "shifted.tif", noise(40, 40, seed=3), utm(0.21, 20.4, 100.3))
    return {
        "native": open_scene([native], OPTIONS),
        "averaged": open_scene([fine], OPTIONS),
        "interpolated": open_scene([coarse], OPTIONS),
        "mosaic": open_scene([native, right, shifted], OPTIONS),
        "resampled mosaic": open_scene([native, right], replace(OPTIONS, gsd_m=0.47)),
    }


@pytest.mark.parametrize(
    "kind", ["native", "averaged", "interpolated", "mosaic", "resampled mosaic"]
)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_window_is_the_slice_of_a_padded_whole(
    scenes: dict[str, Scene], kind: str, data: st.DataObject
) -> None:
    scene, margin = scenes[kind], 30
    all_pixels, all_valid = scene.read(whole(scene).padded(margin))
    row = data.draw(st.integers(-margin, scene.height + margin - 1))
    col = data.draw(st.integers(-margin, scene.width + margin - 1))
    window = Window(
        row,
        col,
        data.draw(st.integers(1, scene.height + margin - row)),
        data.draw(st.integers(1, scene.width + margin - col)),
    )
    pixels, valid = scene.read(window)
    rows, cols = window.shifted(margin, margin).slices
    np.testing.assert_array_equal(pixels, all_pixels[:, rows, cols])
    np.testing.assert_array_equal(valid, all_valid[rows, cols])
    assert (pixels.dtype, valid.dtype) == (np.uint8, np.bool_)
    assert pixels.flags.c_contiguous
    assert (pixels[:, ~valid] == FILL[:, 0]).all()
    covered = scene.covered(window)
    if covered is not None:
        valid[covered.shifted(-window.row, -window.col).slices] = False
    assert not valid.any()


def test_native_pixels_come_as_they_are(tmp_path: Path) -> None:
    pixels = noise(40, 50)
    with open_scene([write(tmp_path / "a.tif", pixels)], OPTIONS) as scene:
        read, valid = scene.read(whole(scene))
        assert scene.gsd_m == pytest.approx(0.3, rel=1e-3)
        assert not scene.resampled
        assert (scene.bands, scene.dtype, scene.valid_fraction) == ((1, 2, 3), "uint8", 1.0)
        assert scene.describe()["scaling"]["method"] == "identity"
    np.testing.assert_array_equal(read, pixels)
    assert valid.all()


def test_one_pixel(tmp_path: Path) -> None:
    for gsd_m in (0.01, 0.3, 5.0):
        path = write(tmp_path / f"{gsd_m}.tif", noise(1, 1), utm(gsd_m))
        with open_scene([path], OPTIONS) as scene:
            pixels, valid = scene.read(whole(scene))
        assert valid.all()
        assert (pixels == noise(1, 1)).all()


def test_threads_read_the_same(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{i}.tif", noise(64, 64, seed=i), utm(0.3, 64 * i, 0)) for i in range(30)
    ]
    with open_scene(paths, OPTIONS) as scene:
        windows = [Window(r, c, 40, 200) for r in (0, 30) for c in range(0, 1920, 100)]
        alone = [scene.read(w)[0] for w in windows]
        with ThreadPoolExecutor(6) as pool:
            together = list(pool.map(lambda w: scene.read(w)[0], windows * 4))
    for got, expected in zip(together, alone * 4, strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(SceneError, match="closed"):
        scene.read(windows[0])


# --- validity ---


def test_nodata_is_invalid_only_where_all_bands_have_it(tmp_path: Path) -> None:
    pixels = noise(20, 20)
    pixels[:, :5] = 0
    pixels[0, 10] = 0
    with open_scene([write(tmp_path / "a.tif", pixels, nodata=0)], OPTIONS) as scene:
        read, valid = scene.read(whole(scene))
        assert scene.valid_fraction == pytest.approx(0.75)
    assert not valid[:5].any()
    assert valid[5:].all()
    assert (read[:, :5] == FILL).all()
    np.testing.assert_array_equal(read[:, 5:], pixels[:, 5:])


def test_undeclared_black_is_image_until_nodata_is_given(tmp_path: Path) -> None:
    pixels = noise(20, 20)
    pixels[:, :5] = 0
    path = write(tmp_path / "a.tif", pixels)
    with open_scene([path], OPTIONS) as scene:
        assert scene.read(whole(scene))[1].all()
    with open_scene([path], replace(OPTIONS, nodata=0)) as scene:
        assert scene.read(whole(scene))[1].sum() == 15 * 20


@pytest.mark.parametrize("internal", [True, False])
def test_masks_inside_and_beside_the_file(tmp_path: Path, internal: bool) -> None:
    mask = noise(20, 20, 1)[0] > 99
    path = write(tmp_path / "a.tif", noise(20, 20), mask=mask, internal_mask=internal)
    assert (tmp_path / "a.tif.msk").exists() is not internal
    with open_scene([path], OPTIONS) as scene:
        np.testing.assert_array_equal(scene.read(whole(scene))[1], mask)


def test_alpha_is_mask_and_never_colour(tmp_path: Path) -> None:
    pixels = noise(20, 20, 4)
    pixels[0] = np.where(noise(20, 20, 1, seed=5)[0] > 99, 255, 0)
    order = [ColorInterp.alpha, ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    with open_scene([write(tmp_path / "a.tif", pixels, interpretation=order)], OPTIONS) as scene:
        read, valid = scene.read(whole(scene))
        assert scene.bands == (4, 3, 2)
    np.testing.assert_array_equal(valid, pixels[0] > 0)
    np.testing.assert_array_equal(read, np.where(valid, pixels[[3, 2, 1]], FILL))


def test_nan_and_infinity_are_invalid_and_do_not_spread(tmp_path: Path) -> None:
    pixels = noise(40, 40).astype(np.float32)
    pixels[0, 3, 4] = np.nan
    pixels[2, 8, 9] = np.inf
    path = write(tmp_path / "a.tif", pixels)
    with open_scene([path], replace(OPTIONS, scale=(0, 255))) as scene:
        read, valid = scene.read(whole(scene))
    assert np.argwhere(~valid).tolist() == [[3, 4], [8, 9]]
    np.testing.assert_array_equal(read, np.where(valid, np.nan_to_num(pixels), FILL))
    with open_scene([path], replace(OPTIONS, scale=(0, 255), gsd_m=0.6)) as scene:
        assert scene.read(whole(scene))[1].all()  # one of four pixels missing


def test_no_valid_pixel_is_an_error_and_a_single_one_is_found(tmp_path: Path) -> None:
    pixels = np.zeros((3, 2500, 2500), np.uint8)
    path = write(tmp_path / "a.tif", pixels, nodata=0, compress="deflate")
    with pytest.raises(NoValidPixelError, match=r"a\.tif: no valid pixel"):
        open_scene([path], OPTIONS)
    pixels[:, 2100, 2200] = 50
    path = write(tmp_path / "b.tif", pixels, nodata=0, compress="deflate")
    with open_scene([path], OPTIONS) as scene:
        assert scene.read(Window(2100, 2200, 1, 1))[1].all()


# --- bands ---


def test_one_band_is_repeated(tmp_path: Path) -> None:
    pixels = noise(20, 20, 1)
    with open_scene([write(tmp_path / "a.tif", pixels)], OPTIONS) as scene:
        np.testing.assert_array_equal(scene.read(whole(scene))[0], np.repeat(pixels, 3, axis=0))


def test_two_bands_need_a_choice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(20, 20, 2))
    with pytest.raises(BandError, match=r"2 colour bands \(1 gray, 2 undefined\)") as caught:
        open_scene([path], OPTIONS)
    assert "--bands" in caught.value.hint
    with open_scene([path], replace(OPTIONS, bands=(2,))) as scene:
        np.testing.assert_array_equal(scene.read(whole(scene))[0][1], noise(20, 20, 2)[1])


def test_grey_and_alpha_is_one_band(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tif",
        noise(20, 20, 2),
        interpretation=[ColorInterp.gray, ColorInterp.alpha],
    )
    with open_scene([path], OPTIONS) as scene:
        assert scene.bands == (1,)


def test_colour_interpretation_finds_the_bands(tmp_path: Path) -> None:
    order = [ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    path = write(tmp_path / "a.tif", noise(20, 20, 4), interpretation=order)
    with open_scene([path], OPTIONS) as scene:
        assert scene.bands == (4, 3, 2)
    with open_scene([path], replace(OPTIONS, bands=(1, 2, 3))) as scene:
        np.testing.assert_array_equal(scene.read(whole(scene))[0], noise(20, 20, 4)[:3])


@pytest.mark.parametrize("bands", [(1, 2), (1, 2, 7), (0, 1, 2), (1, 2, 4)])
def test_a_bad_choice_of_bands_is_refused(tmp_path: Path, bands: tuple[int, ...]) -> None:
    order = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    path = write(tmp_path / "a.tif", noise(20, 20, 4), interpretation=order)
    with pytest.raises(BandError):
        open_scene([path], replace(OPTIONS, bands=bands))


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    pixels = (noise(20, 20, 1) % 3).astype(np.uint8)
    palette = {0: (10, 20, 30, 255), 1: (200, 100, 50, 255), 2: (1, 2, 3, 0)}
    path = write(tmp_path / "a.tif", pixels, palette=palette, photometric="palette")
    with rasterio.open(path) as file:
        transparent = file.colormap(1)[2][3] == 0  # GeoTIFF palettes may lose their alpha
    with open_scene([path], OPTIONS) as scene:
        read, valid = scene.read(whole(scene))
    np.testing.assert_array_equal(read[:, pixels[0] == 0].T, [[10, 20, 30]] * (pixels == 0).sum())
    np.testing.assert_array_equal(read[:, pixels[0] == 1].T, [[200, 100, 50]] * (pixels == 1).sum())
    np.testing.assert_array_equal(valid, (pixels[0] != 2) | (not transparent))
