"""Tiles lie where they say, repeat by number, and never show what is held out."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from buildext.errors import UsageError
from buildext.learn.training.config import SamplingSection
from buildext.learn.training.data.scenes import FILL_RGB, LabelledScene
from buildext.learn.training.engine.split import blocks_of
from buildext.learn.training.tiles.sampling import (
    Placement,
    Pyramid,
    TileSampler,
    monitor_tiles,
)

OPTIONS = SamplingSection(tile_px=64)


def test_an_upright_cut_at_native_resolution_is_the_scene_itself(scene: LabelledScene) -> None:
    tile = Pyramid(scene).cut(Placement((132.0, 232.0), 0.0, False, scene.gsd_m), 64)
    np.testing.assert_array_equal(tile.image, scene.image[200:264, 100:164])
    np.testing.assert_array_equal(tile.labels, scene.labels[200:264, 100:164])
    assert tile.weight.all()


def test_a_quarter_turn_and_a_flip_are_exact(scene: LabelledScene) -> None:
    pyramid = Pyramid(scene)
    turned = pyramid.cut(Placement((132.0, 232.0), math.pi / 2, False, scene.gsd_m), 64)
    np.testing.assert_array_equal(turned.labels, np.rot90(scene.labels[200:264, 100:164]))
    flipped = pyramid.cut(Placement((132.0, 232.0), 0.0, True, scene.gsd_m), 64)
    np.testing.assert_array_equal(flipped.labels, scene.labels[200:264, 100:164][:, ::-1])


@pytest.mark.parametrize("gsd_m", [0.2, 0.5, 0.9, 1.5])
@pytest.mark.parametrize("angle_rad", [0.0, 0.4, 2.0])
def test_image_and_labels_stay_aligned(
    scene: LabelledScene, gsd_m: float, angle_rad: float
) -> None:
    # Paint the labels into the image: what comes out must still agree, up to mixed edge pixels.
    painted = np.repeat((scene.labels > 0).astype(np.uint8)[..., None] * 255, 3, axis=-1)
    pyramid = Pyramid(dataclasses.replace(scene, image=painted))
    tile = pyramid.cut(Placement((320.0, 256.0), angle_rad, False, gsd_m), 64)
    inside = tile.image[..., 0][tile.labels > 0].mean()
    outside = tile.image[..., 0][(tile.labels == 0) & tile.weight].mean()
    # At 1.5 m a house is 3 px wide, most of its pixels are edges.
    assert inside > (215 if gsd_m < 1 else 170)
    assert outside < (25 if gsd_m < 1 else 60)


def test_outside_the_scene_there_is_fill_without_weight(scene: LabelledScene) -> None:
    tile = Pyramid(scene).cut(Placement((0.0, 0.0), 0.0, False, scene.gsd_m), 64)
    assert not tile.weight[:32].any()
    assert (tile.image[:32] == FILL_RGB).all()
    assert tile.weight[32:, 32:].all()


def test_unknown_labels_have_no_weight_but_an_image(scene: LabelledScene) -> None:
    known = scene.known.copy()
    known[:232] = False
    part = dataclasses.replace(scene, known=known)
    tile = Pyramid(part).cut(Placement((132.0, 232.0), 0.0, False, scene.gsd_m), 64)
    np.testing.assert_array_equal(tile.image, scene.image[200:264, 100:164])
    assert tile.valid.all()
    assert not tile.weight[:32].any()
    assert tile.weight[32:].all()
    nothing = dataclasses.replace(scene, known=np.zeros_like(known))
    with pytest.raises(UsageError, match="no scene is left"):
        TileSampler([nothing], OPTIONS, 0)


def test_a_tile_depends_on_its_number_alone(scene: LabelledScene) -> None:
    first = TileSampler([scene], OPTIONS, 5)
    second = TileSampler([scene], OPTIONS, 5)
    second.sample(3)
    np.testing.assert_array_equal(first.sample(17).image, second.sample(17).image)
    assert (first.sample(17).image != first.sample(18).image).any()


def test_the_random_stream_of_a_tile_is_fixed(scene: LabelledScene) -> None:
    """A new option that is switched off must not change the tiles of older configs."""
    other = dataclasses.replace(scene, name="other/scene", image=255 - scene.image)
    sampler = TileSampler([scene, other], OPTIONS, 11)
    for number in range(12):
        rng = np.random.default_rng([11, 1, number])
        pyramid = Pyramid([scene, other][rng.choice(2, p=[0.5, 0.5])])
        centre = (rng.uniform(0, 640), rng.uniform(0, 512))
        angle, flip = rng.uniform(0, 2 * math.pi), rng.random() < 0.5
        gsd_m = math.exp(rng.uniform(math.log(0.25 / 1.7), math.log(0.65)))
        expected = pyramid.cut(Placement(centre, angle, flip, gsd_m), 64)
        if expected.weight.mean() < 0.4:
            continue
        tile = sampler.sample(number)
        assert tile.gsd_m == gsd_m
        np.testing.assert_array_equal(tile.image, expected.image)
        np.testing.assert_array_equal(tile.labels, expected.labels)


def test_without_rotation_and_flip_tiles_stand_upright(scene: LabelledScene) -> None:
    # East is red and north is green, everywhere alike.
    image = np.zeros_like(scene.image)
    image[..., 0] = np.linspace(0, 255, 640).astype(np.uint8)[None, :]
    image[..., 1] = np.linspace(255, 0, 512).astype(np.uint8)[:, None]
    compass = dataclasses.replace(scene, image=image)
    upright = SamplingSection(tile_px=64, rotate=False, flip=False)
    mirrored = SamplingSection(tile_px=64, rotate=False)
    seen = set()
    for number in range(30):
        tile = TileSampler([compass], upright, 0).sample(number)
        if not tile.valid.all():
            continue
        assert (np.diff(tile.image[..., 0].astype(int), axis=1) >= 0).all()
        assert (np.diff(tile.image[..., 1].astype(int), axis=0) <= 0).all()
        flipped = TileSampler([compass], mirrored, 0).sample(number)
        assert flipped.gsd_m == tile.gsd_m
        seen.add((flipped.image == tile.image).all())
    assert seen == {True, False}


def test_resolutions_stay_in_range_and_are_not_made_up(scene: LabelledScene) -> None:
    sampler = TileSampler([scene], OPTIONS, 0)
    seen = [sampler.sample(i).gsd_m for i in range(60)]
    assert min(seen) >= scene.gsd_m / OPTIONS.max_upsampling - 1e-9
    assert max(seen) <= OPTIONS.gsd_m[1] + 1e-9
    assert max(seen) / min(seen) > 2


def test_blocks_partition_the_scene(scene: LabelledScene) -> None:
    covered = np.zeros(scene.labels.shape, int)
    for block in blocks_of(scene, 32.0):
        covered[block.slices] += 1
    assert (covered == 1).all()


def test_monitor_tiles_score_inside_their_block_only(scene: LabelledScene) -> None:
    blocks = blocks_of(scene, 32.0)
    tiles = monitor_tiles(scene, blocks, SamplingSection(tile_px=128))
    area_m2 = sum(t.weight.sum() * t.gsd_m**2 for t in tiles)
    assert area_m2 == pytest.approx(scene.labels.size * scene.gsd_m**2, rel=0.03)


def test_a_weight_for_no_dataset_is_refused(scene: LabelledScene) -> None:
    with pytest.raises(UsageError, match="'twon'"):
        TileSampler([scene], SamplingSection(tile_px=64, weights={"twon": 1.0}), 0)
