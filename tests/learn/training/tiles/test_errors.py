"""Hard places are where whole things are wrong, not where an edge is a pixel off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from buildext.learn.training.config import SamplingSection
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.mining import load_errors, save_errors
from buildext.learn.training.tiles.errors import CELL_PX, ErrorMap, error_map
from buildext.learn.training.tiles.sampling import TileSampler

FIELD = np.s_[64:96, 320:352]


def seen(scene: LabelledScene) -> np.ndarray:
    """The labels as a perfect network would see them."""
    return (scene.labels > 0).astype(np.float32)


def with_field(scene: LabelledScene) -> np.ndarray:
    found = seen(scene)
    found[FIELD] = 1 - found[FIELD]
    return found


def test_what_is_right_is_not_hard(scene: LabelledScene) -> None:
    found = error_map(scene, seen(scene), scene.gsd_m)
    assert not found.wrong.any()
    assert found.draw(np.random.default_rng(0)) is None


def test_edges_are_left_aside(scene: LabelledScene) -> None:
    found = error_map(scene, np.roll(seen(scene), 2, axis=1), scene.gsd_m)
    assert not found.wrong.any()


def test_a_field_is_found_where_it_lies(scene: LabelledScene) -> None:
    found = error_map(scene, with_field(scene), scene.gsd_m)
    assert found.wrong.sum() == pytest.approx(32 * 32, abs=100)
    rng = np.random.default_rng(0)
    places = [found.draw(rng) for _ in range(50)]
    assert all(p is not None and 320 <= p[0] < 352 and 64 <= p[1] < 96 for p in places)


def test_a_coarser_prediction_finds_the_same_place(scene: LabelledScene) -> None:
    coarse = with_field(scene)[1::2, 1::2]
    found = error_map(scene, coarse, 2 * scene.gsd_m)
    assert found.cell_px == 2 * CELL_PX
    rng = np.random.default_rng(0)
    places = [found.draw(rng) for _ in range(50)]
    assert all(p is not None and 320 <= p[0] < 352 and 64 <= p[1] < 96 for p in places)


def test_cells_are_drawn_by_what_is_wrong_in_them() -> None:
    found = ErrorMap(np.array([[0, 1], [3, 0]], np.float32), 10.0)
    rng = np.random.default_rng(0)
    places = [found.draw(rng) for _ in range(400)]
    low = [p for p in places if p is not None and p[1] >= 10]
    assert len(low) == pytest.approx(300, abs=40)
    assert all(p[0] < 10 for p in low)


def test_what_does_not_count_is_not_hard(scene: LabelledScene) -> None:
    known = np.ones_like(scene.known)
    known[FIELD] = False
    found = error_map(replace(scene, known=known), with_field(scene), scene.gsd_m)
    assert not found.wrong.any()


def test_a_share_of_tiles_shows_hard_places(scene: LabelledScene) -> None:
    options = SamplingSection(tile_px=32, gsd_m=(0.25, 0.25), hard_tiles=0.5)
    errors = {scene.name: error_map(scene, with_field(scene), scene.gsd_m)}
    mark = np.zeros_like(scene.labels)
    mark[FIELD] = 7
    marked = replace(scene, labels=np.maximum(scene.labels, 1) * 0 + mark + 1)

    def share(of: dict[str, ErrorMap]) -> float:
        sampler = TileSampler([marked], options, 3, of)
        tiles = [sampler.sample(i) for i in range(200)]
        return float(np.mean([(tile.labels == 8).any() for tile in tiles]))

    assert share(errors) == pytest.approx(0.5 + 0.5 * share({}), abs=0.1)


def test_without_errors_tiles_are_as_ever(scene: LabelledScene) -> None:
    plain = SamplingSection(tile_px=64)
    hard = plain.model_copy(update={"hard_tiles": 0.5})
    for number in range(5):
        before = TileSampler([scene], plain, 3).sample(number)
        after = TileSampler([scene], hard, 3).sample(number)
        assert np.array_equal(before.image, after.image)


def test_maps_are_kept_as_they_are(scene: LabelledScene, tmp_path: Path) -> None:
    maps = {
        "a town/with spaces": error_map(scene, with_field(scene), 0.3),
        "b/c": ErrorMap(np.zeros((2, 3), np.float32), 16.0),
    }
    save_errors(tmp_path / "errors.safetensors", maps)
    kept = load_errors(tmp_path / "errors.safetensors")
    assert sorted(kept) == sorted(maps)
    for name, found in maps.items():
        assert kept[name].cell_px == found.cell_px
        assert np.array_equal(kept[name].wrong, found.wrong)
