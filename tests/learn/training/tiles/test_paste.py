"""Pasted buildings stand whole, labelled, with room around them, and change nothing else."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildext.learn.training.config import SamplingSection
from buildext.learn.training.data.scenes import LabelledScene, Tile
from buildext.learn.training.tiles.paste import GAP_PX, paste_buildings
from buildext.learn.training.tiles.sampling import TileSampler

SIDE = 64


def tile(
    boxes: list[tuple[int, int, int, int]], grey: int, roof: int, instances: bool = True
) -> Tile:
    """Plain ground with plain roofs at `(top, left, bottom, right)`."""
    image = np.full((SIDE, SIDE, 3), grey, np.uint8)
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, (top, left, bottom, right) in enumerate(boxes, 1):
        image[top:bottom, left:right] = roof
        labels[top:bottom, left:right] = number if instances else 1
    everywhere = np.ones((SIDE, SIDE), bool)
    return Tile(image, labels, everywhere, everywhere, instances, 0.25)


FREE = (40, 40, 52, 50)
OVER = (8, 8, 20, 20)
CUT_OFF = (30, 0, 40, 12)
TINY = (2, 40, 6, 44)
GROUND = tile([(10, 10, 24, 24)], 90, 140)
DONOR = tile([FREE, OVER, CUT_OFF, TINY], 60, 200)


class Always(np.random.Generator):
    """Chooses every building."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def random(self, size: int | None = None) -> np.ndarray:  # type: ignore[override]
        return np.zeros(size)


def test_a_building_is_pasted_where_there_is_room_and_only_there() -> None:
    pasted = paste_buildings(GROUND, DONOR, Always())
    new = pasted.labels > GROUND.labels.max()
    there = np.zeros_like(new)
    there[FREE[0] : FREE[2], FREE[1] : FREE[3]] = True
    assert np.array_equal(new, there)
    assert np.array_equal(pasted.labels[~new], GROUND.labels[~new])
    far = cv2.dilate(new.astype(np.uint8), np.ones((11, 11), np.uint8)) == 0
    assert np.array_equal(pasted.image[far], GROUND.image[far])
    assert np.array_equal(pasted.weight, GROUND.weight)


def test_its_roof_is_seen_in_the_brightness_of_the_tile() -> None:
    pasted = paste_buildings(GROUND, DONOR, Always())
    roof = pasted.image[44:48, 44:46].mean()
    assert roof > GROUND.image.mean() + 10
    dark = replace(GROUND, image=GROUND.image // 3)
    assert paste_buildings(dark, DONOR, Always()).image[44:48, 44:46].mean() < roof - 40


def test_rims_are_blended() -> None:
    line = paste_buildings(GROUND, DONOR, Always()).image[46, 30:60, 0].astype(int)
    assert np.abs(np.diff(line)).max() < 0.8 * (line.max() - line.min())


def test_merged_houses_do_not_come_among_single_ones() -> None:
    merged = tile([FREE], 60, 200, instances=False)
    assert paste_buildings(GROUND, merged, Always()) is GROUND
    taken = paste_buildings(replace(GROUND, instances=False), merged, Always())
    assert (taken.labels > 0).sum() > (GROUND.labels > 0).sum()


def test_where_nothing_is_known_nothing_is_pasted() -> None:
    known = np.ones((SIDE, SIDE), bool)
    known[46, 46] = False
    for changed in (
        replace(GROUND, weight=known),
        replace(GROUND, offset_m=np.zeros((2, SIDE, SIDE))),
    ):
        assert paste_buildings(changed, DONOR, Always()) is changed
    assert paste_buildings(GROUND, replace(DONOR, weight=known), Always()) is GROUND


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, SIDE - 1)] * 4), max_size=6),
    st.lists(st.tuples(*[st.integers(0, SIDE - 1)] * 4), max_size=6),
    st.integers(0, 9),
)
def test_whatever_lies_where_buildings_stay_whole_and_apart(
    mine: list[tuple[int, int, int, int]], theirs: list[tuple[int, int, int, int]], seed: int
) -> None:
    ground, donor = tile(mine, 90, 140), tile(theirs, 60, 200)
    pasted = paste_buildings(ground, donor, np.random.default_rng(seed))
    old = ground.labels > 0
    assert np.array_equal(pasted.labels[old], ground.labels[old])
    top = ground.labels.max()
    for number in np.unique(pasted.labels[pasted.labels > top]):
        assert np.array_equal(pasted.labels == number, donor.labels == number - top)
    room = np.ones((2 * GAP_PX + 1,) * 2, np.uint8)
    assert not (cv2.dilate(old.astype(np.uint8), room)[pasted.labels > top]).any()


def test_tiles_depend_on_their_number_alone_and_only_a_share_changes(scene: LabelledScene) -> None:
    plain = SamplingSection(tile_px=128, gsd_m=(0.25, 0.4))
    pasting = plain.model_copy(update={"paste": 0.5})
    bare = replace(scene, name="bare/scene", labels=np.zeros_like(scene.labels))
    off = TileSampler([scene, bare], plain, 3)
    one, other = (TileSampler([scene, bare], pasting, 3) for _ in range(2))
    changed = 0
    for number in range(40):
        tile = one.sample(number)
        assert np.array_equal(tile.image, other.sample(number).image)
        changed += not np.array_equal(tile.labels, off.sample(number).labels)
    assert 2 <= changed <= 25


def test_a_coarse_scene_is_not_magnified(scene: LabelledScene) -> None:
    coarse = replace(scene, name="coarse/scene", gsd_m=4.0)
    fine = replace(scene, labels=np.zeros_like(scene.labels))
    options = SamplingSection(
        tile_px=64, gsd_m=(0.25, 0.25), paste=1.0, weights={"town": 1.0, "coarse": 1.0}
    )
    sampler = TileSampler([fine, coarse], options, 3)
    tiles = [sampler.sample(number) for number in range(20)]
    assert all(not (t.labels > 0).any() for t in tiles if t.gsd_m == pytest.approx(0.25))
