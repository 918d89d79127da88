"""What is held out is never seen, wherever the same image turns up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from buildext.errors import UsageError
from buildext.grid.window import Window
from buildext.learn.training.config import SamplingSection, SplitSection
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.split import (
    Split,
    blocks_of,
    erase_blocks,
    few_clean,
    split_scene,
)
from buildext.learn.training.tiles.sampling import TileSampler

OPTIONS = SamplingSection(tile_px=64)
SPLIT = SplitSection(block_m=32.0, hold_out=0.15, test=0.1)
PLACE = "a" * 64


def test_training_never_sees_a_held_out_block(scene: LabelledScene) -> None:
    split = split_scene(scene, SPLIT, 1, PLACE)
    blocks = [*split.monitor, *split.test]
    assert not set(split.monitor) & set(split.test)
    assert 0 < len(blocks) < len(blocks_of(scene, SPLIT.block_m))
    # Mark every held-out pixel with a colour that occurs nowhere else.
    image = np.zeros_like(scene.image)
    for block in blocks:
        image[block.slices] = (255, 0, 255)
    marked = dataclasses.replace(scene, image=image)
    held_out = np.zeros(scene.labels.shape, np.int32)
    for block in blocks:
        held_out[block.slices] = 99
    marked = dataclasses.replace(marked, labels=held_out)
    sampler = TileSampler([erase_blocks(marked, blocks)], OPTIONS, 2)
    for number in range(150):
        tile = sampler.sample(number)
        assert not tile.labels.any()
        # Neither at its own place nor smeared by interpolation: magenta has no green.
        assert (tile.image[..., 1].astype(int) >= tile.image[..., 0].astype(int) - 9).all()


def test_whole_scenes_are_held_out_by_name(scene: LabelledScene) -> None:
    split = SplitSection(block_m=32.0, hold_out=0.0, scenes=("town/*",))
    assert split_scene(scene, split, 0, PLACE) == Split(monitor=tuple(blocks_of(scene, 32.0)))
    everything = erase_blocks(scene, blocks_of(scene, 32.0))
    with pytest.raises(UsageError, match="no scene is left"):
        TileSampler([everything], OPTIONS, 0)


def test_the_choice_depends_on_the_image_and_the_seed(scene: LabelledScene) -> None:
    chosen = split_scene(scene, SPLIT, 1, PLACE)
    renamed = dataclasses.replace(scene, name="noisy/other", labels=np.zeros_like(scene.labels))
    assert split_scene(renamed, SPLIT, 1, PLACE) == chosen
    assert len({split_scene(scene, SPLIT, seed, PLACE) for seed in range(8)}) > 1
    assert len({split_scene(scene, SPLIT, 1, c * 64) for c in "123456"}) > 1
    fixed = SPLIT.model_copy(update={"seed": 5})
    assert len({split_scene(scene, fixed, seed, PLACE) for seed in range(8)}) == 1


def test_a_gap_keeps_the_surroundings_out(scene: LabelledScene) -> None:
    block = Window(200, 200, 64, 64)
    erased = erase_blocks(scene, [block], gap_m=4.0)
    hole = np.zeros(scene.valid.shape, bool)
    hole[200 - 16 : 264 + 16, 200 - 16 : 264 + 16] = True
    np.testing.assert_array_equal(~erased.valid, hole)
    assert scene.valid.all()


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
def test_few_clean_labels_are_about_the_share(scene: LabelledScene, share: float) -> None:
    few = few_clean([scene], share, 32.0, 4)
    total = np.count_nonzero(scene.labels)
    known = [np.count_nonzero(part.known & (part.labels > 0)) for part in few]
    largest = max(np.count_nonzero(scene.labels[b.slices]) for b in blocks_of(scene, 32.0))
    assert len(few) == 1 or abs(sum(known) - share * total) <= largest / 2 + 1
    # The surroundings stay visible; what is not known is no background.
    assert all(part.valid.all() and not part.known.all() for part in few)
    again = few_clean([scene], share, 32.0, 4)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(few, again, strict=True))
    other = few_clean([scene], share, 32.0, 5)
    assert [p.image.tobytes() for p in other] != [p.image.tobytes() for p in few]


def test_all_clean_labels_are_the_scenes_themselves(scene: LabelledScene) -> None:
    assert few_clean([scene], 1.0, 32.0, 4) == [scene]
