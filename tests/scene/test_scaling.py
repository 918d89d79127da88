"""One stretch per scene, from valid pixels only."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.grid.window import Window
from buildext.scene import SceneOptions, open_scene
from buildext.scene.scaling import Stretch
from tests.scene.rasters import OPTIONS, noise, write


def test_a_narrow_16_bit_scene_uses_the_whole_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 1801, (3, 600, 600)).astype(np.uint16)
    pixels[:, 0, 0] = 65535  # one hot pixel must not darken the rest
    pixels[:, :100] = 0
    with open_scene([write(tmp_path / "a.tif", pixels, nodata=0)], OPTIONS) as scene:
        low, high = (scene.describe()["scaling"][k] for k in ("low", "high"))
        assert low == pytest.approx([19] * 3, abs=4)
        assert high == pytest.approx([1782] * 3, abs=4)
        all_pixels, _ = scene.read(Window(0, 0, 600, 600))
        part, _ = scene.read(Window(200, 300, 50, 60))
    np.testing.assert_array_equal(part, all_pixels[:, 200:250, 300:360])
    assert all_pixels[:, 100:].mean() == pytest.approx(127.5, abs=2)
    expected = np.clip(
        (pixels[0, 200:250].astype(float) - low[0]) * 255 / (high[0] - low[0]), 0, 255
    )
    assert np.abs(all_pixels[0, 200:250] - expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"]
)
def test_every_type_follows_the_formula(tmp_path: Path, dtype: str) -> None:
    pixels = (
        noise(30, 30).astype(np.int16) // 2 - (64 if dtype != "uint8" and dtype != "uint16" else 0)
    ).astype(dtype)
    with open_scene(
        [write(tmp_path / "a.tif", pixels)], replace(OPTIONS, scale=(-10, 50))
    ) as scene:
        read, _ = scene.read(Window(0, 0, 30, 30))
        assert scene.describe()["scaling"] == {
            "method": "given",
            "low": [-10.0] * 3,
            "high": [50.0] * 3,
        }
    expected = np.rint(np.clip((pixels.astype(np.float64) + 10) * (255 / 60), 0, 255))
    assert np.abs(read - expected).max() <= (1 if dtype == "float32" else 0)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_a_constant_band_becomes_mid_grey(tmp_path: Path, dtype: str) -> None:
    pixels = np.full((3, 20, 20), 7, dtype)
    pixels[2] = 40_000
    with open_scene([write(tmp_path / "a.tif", pixels)], OPTIONS) as scene:
        read, _ = scene.read(Window(0, 0, 20, 20))
    assert set(np.unique(read)) <= {127, 128}


def middle(low: int, high: int) -> NDArray[np.uint8]:
    """Noise `(3, 60, 60)` between two values."""
    rng = np.random.default_rng(0)
    return rng.integers(low, high + 1, (3, 60, 60), dtype=np.uint8)


def scaled(path: Path, pixels: NDArray[np.uint8]) -> tuple[str, NDArray[np.uint8]]:
    """How a scene of these pixels is scaled, and what comes out."""
    with open_scene([write(path, pixels)], OPTIONS) as scene:
        read, _ = scene.read(Window(0, 0, *pixels.shape[1:]))
        return scene.describe()["scaling"]["method"], read


def test_a_hazy_8_bit_scene_uses_the_whole_range(tmp_path: Path) -> None:
    hazy = middle(110, 200)
    hazy[1] -= 50  # not grey
    method, read = scaled(tmp_path / "a.tif", hazy)
    assert method == "percentiles"
    assert read.mean(axis=(1, 2)) == pytest.approx([127.5] * 3, abs=4)
    assert read.std(axis=(1, 2)) == pytest.approx([255 / 12**0.5] * 3, rel=0.1)


def test_one_wide_band_is_enough_to_leave_an_8_bit_scene_as_it_is(tmp_path: Path) -> None:
    pixels = middle(110, 200)
    pixels[2] = middle(20, 230)[2]
    method, read = scaled(tmp_path / "a.tif", pixels)
    assert method == "identity"
    np.testing.assert_array_equal(read, pixels)


def test_water_is_not_stretched_until_its_noise_looks_like_roofs(tmp_path: Path) -> None:
    water = middle(100, 103)
    method, read = scaled(tmp_path / "a.tif", water)
    assert method == "percentiles"
    # Three times at most, about the middle of the scene's own values.
    expected = np.rint((water - 101.5) * 3 + 127.5)
    assert np.abs(read - expected).max() <= 1


def test_an_unusual_image_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dark = write(tmp_path / "dark.tif", noise(20, 20) // 64)
    usual = write(tmp_path / "usual.tif", noise(20, 20))
    with caplog.at_level(logging.WARNING, "buildext.scene"):
        open_scene([usual], OPTIONS).close()
        assert not caplog.records
        open_scene([dark], OPTIONS).close()
    assert "unusual" in caplog.text


def test_nan_never_reaches_the_cast() -> None:
    stretch = Stretch((0.0,), (1.0,), "given")
    pixels = np.array([[[np.nan, np.inf, -np.inf, 0.5]]])
    assert stretch.apply(pixels).tolist() == [[[0, 255, 0, 128]]]


@pytest.mark.parametrize(
    "bad",
    [
        {"gsd_range_m": (0.6, 0.1)},
        {"gsd_m": 0.0},
        {"scale": (5.0, 5.0)},
        {"percentiles": (99.0, 1.0)},
        {"fill": (1, 2)},
    ],
)
def test_bad_options_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected"):
        SceneOptions(**bad)  # type: ignore[arg-type]
