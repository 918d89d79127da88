"""Layers of several scenes on one grid, and where each pixel comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from buildext.errors import DamagedSceneError, SceneError
from buildext.grid.window import Window
from buildext.scene import Scene, open_scene
from buildext.scene.handles import Handles
from buildext.scene.layered import LayeredScene
from buildext.scene.placing import place_one
from buildext.scene.plane import Plane
from buildext.scene.resample import Resampler
from buildext.scene.scaling import Stretch
from buildext.scene.source import inspect
from tests.scene.rasters import OPTIONS, noise, utm, write

IDENTITY = Stretch((0.0,) * 3, (255.0,) * 3, "identity")
SIZE = 400


def scene_on(
    base: Affine,
    files: list[Path],
    scale: float = 1.0,
    stretch: Stretch = IDENTITY,
    handles: Handles | None = None,
) -> Scene:
    sources = [inspect(str(file), OPTIONS) for file in files]
    placed = tuple(place_one(source, base, sources[0].crs) for source in sources)
    plane = Plane(placed, SIZE, SIZE, base, sources[0].crs, False, handles)
    resampler = None if scale == 1 else Resampler(SIZE, SIZE, scale, scale)
    return Scene(
        plane, stretch, resampler, OPTIONS,
        gsd_m=0.3 * scale, native_gsd_m=0.3, gsd_assumed=False, valid_fraction=1.0,
    )  # fmt: skip


def test_first_valid_layer_counts_and_is_named(tmp_path: Path) -> None:
    images = [noise(60, 60, seed=seed) for seed in range(3)]
    holes = np.ones((60, 60), bool)
    holes[20:40, 20:40] = False
    top = write(tmp_path / "top.tif", images[0], utm(0.3, 10, 10), mask=holes)
    deep = write(tmp_path / "deep.tif", images[1].astype(np.uint16) * 2, utm(0.3, 0, 0))
    side = write(tmp_path / "side.tif", images[2].astype(np.uint16) * 2, utm(0.3, 30, 0))
    half = Stretch((0.0,) * 3, (510.0,) * 3, "given")
    layered = LayeredScene(
        [scene_on(utm(0.3), [top]), scene_on(utm(0.3), [deep, side], stretch=half)], OPTIONS.fill
    )
    window = Window(0, 0, 100, 120)
    origin = np.full((100, 120), 9, np.uint16)
    pixels, valid = layered.read(window, origin)
    expected = np.zeros((100, 120), np.uint16)
    expected[0:60, 30:90] = 3
    expected[0:60, 0:60] = 2
    expected[10:70, 10:70][holes] = 1
    assert (origin == expected).all()
    assert (valid == (expected > 0)).all()
    assert (pixels[:, 10:70, 10:70][:, holes] == images[0][:, holes]).all()
    assert (pixels[:, 0:10, 0:60] == images[1][:, 0:10]).all()
    assert all((pixels[band, ~valid] == value).all() for band, value in enumerate(OPTIONS.fill))
    assert [Path(name).stem for name in layered.names] == ["top", "deep", "side"]
    layered.close()


@pytest.mark.parametrize("scale", [1.0, 1.7, 0.6])
def test_origin_is_the_same_in_any_window(tmp_path: Path, scale: float) -> None:
    left = write(tmp_path / "left.tif", noise(90, 50, seed=1), utm(0.3, 7, 3))
    right = write(tmp_path / "right.tif", noise(90, 50, seed=2), utm(0.3, 41, 9))
    layered = LayeredScene([scene_on(utm(0.3), [left, right], scale)], OPTIONS.fill)
    whole = Window(0, 0, 140, 140)
    origin = np.zeros((140, 140), np.uint8)
    pixels, valid = layered.read(whole, origin)
    assert ((origin > 0) == valid).mean() > 0.99
    assert set(np.unique(origin)) == {0, 1, 2}
    for window in (Window(13, 17, 40, 61), Window(0, 60, 77, 80), Window(50, 0, 3, 140)):
        part = np.zeros((window.height, window.width), np.uint8)
        some, some_valid = layered.read(window, part)
        assert (part == origin[window.slices]).all()
        assert (some == pixels[(slice(None), *window.slices)]).all()
        assert (some_valid == valid[window.slices]).all()
    layered.close()


@pytest.mark.parametrize("scale", [1.0, 3.3, 0.7])
def test_parts_and_what_files_cover_change_no_bit(tmp_path: Path, scale: float) -> None:
    chance = np.random.default_rng(4)
    files = []
    for number in range(9):
        height, width = chance.integers(30, 120, 2)
        at = utm(0.3, *(float(v) for v in chance.integers(0, SIZE - 60, 2)))
        holes = chance.random((height, width)) > 0.1 if number % 3 == 0 else None
        path = tmp_path / f"{number}.tif"
        files.append(write(path, noise(height, width, seed=number), at, mask=holes))
    groups = [files[:4], files[4:7], files[7:]]
    layers = [scene_on(utm(0.3), group, scale) for group in groups]
    window = Window(3, 5, 540, 610)  # more than one part, and beyond the scene
    origin = np.zeros((window.height, window.width), np.uint8)
    pixels, valid = LayeredScene(layers, OPTIONS.fill).read(window, origin)
    expected = np.empty_like(pixels)
    expected[...] = np.array(OPTIONS.fill)[:, None, None]
    expected_valid, expected_origin, before = np.zeros_like(valid), np.zeros_like(origin), 0
    for layer in layers:
        names = np.zeros_like(origin)
        new, new_valid = layer.read(window, names)
        new_valid &= ~expected_valid
        expected[:, new_valid] = new[:, new_valid]
        named = new_valid & (names > 0)
        expected_origin[named] = names[named] + before
        expected_valid |= new_valid
        before += len(layer.names)
        covered = layer.covered(window)
        assert covered is not None
        beyond = np.ones_like(valid)
        beyond[covered.shifted(-window.row, -window.col).slices] = False
        assert not (new_valid & beyond).any()
    assert (valid == expected_valid).all() and 0.005 < valid.mean() < 0.9
    assert (pixels == expected).all() and (origin == expected_origin).all()


def test_origin_outside_the_scene_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(40, 40))
    with open_scene([path], OPTIONS) as scene:
        origin = np.full((60, 50), 7)
        _, valid = scene.read(Window(-5, -5, 60, 50), origin)
        assert (origin == valid).all() and valid.sum() == 1600


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(40, 40))
    scene = scene_on(utm(0.3), [path])
    path.unlink()
    with pytest.raises(DamagedSceneError, match=r"a\.tif") as caught:
        scene.read(Window(0, 0, 10, 10))
    assert caught.value.file == str(path)


def test_layers_that_share_handles_keep_few_files_open_together(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{i:03}.tif", noise(16, 16, seed=i), utm(0.3, 4 * (i % 60), i // 60 * 20))
        for i in range(120)
    ]
    handles = Handles()
    layered = LayeredScene(
        [scene_on(utm(0.3), [file], handles=handles) for file in files], OPTIONS.fill
    )
    for _ in range(2):  # those that were closed in between are opened anew
        pixels, valid = layered.read(Window(0, 0, 16, 252))
        assert valid.all()
        assert (pixels[:, :, :16] == noise(16, 16, seed=0)).all()
    layered.read(Window(20, 0, 16, 252))
    assert len(handles) == 96
    layered.close()
    assert len(handles) == 0
    with pytest.raises(SceneError, match="closed"):
        layered.read(Window(0, 0, 16, 16))
