"""Labels in memory are moved back to where a network sees them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from buildext.align import AlignOptions
from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.builder import build_sight
from buildext.learn.training.engine.predict import predict_scene
from buildext.learn.training.methods.relabel import relabel_scene
from buildext.learn.training.tiles.sampling import Placement, Pyramid

OPTIONS = AlignOptions(max_shift_m=6.0)


def displaced(scene: LabelledScene, step_xy_px: tuple[int, int]) -> LabelledScene:
    moved = np.roll(scene.labels, step_xy_px[::-1], (0, 1))
    return replace(scene, labels=moved)


@pytest.mark.parametrize("instances", [True, False])
@pytest.mark.parametrize("factor", [1, 2])
def test_displaced_labels_come_back(scene: LabelledScene, instances: bool, factor: int) -> None:
    truth = scene.labels > 0
    probability = truth[::factor, ::factor].astype(np.float32) * 0.9 + 0.05
    noisy = replace(displaced(scene, (6, -4)), instances=instances)
    moved = relabel_scene(noisy, probability, scene.gsd_m * factor, OPTIONS, 0.3)
    assert len(moved.shifts_m) > 0.9 * moved.labels
    assert np.median(moved.shifts_m) == pytest.approx(0.25 * np.hypot(6, 4), abs=0.2)
    wrong = (moved.scene.labels > 0) != truth
    before = (noisy.labels > 0) != truth
    counted = moved.scene.known
    assert wrong[counted].sum() < 0.25 * before.sum()
    # Numbers stay with their buildings.
    if instances:
        assert set(np.unique(moved.scene.labels)) <= set(np.unique(noisy.labels))


def test_without_evidence_nothing_is_believed(scene: LabelledScene) -> None:
    flat = np.full(scene.labels.shape, 0.5, np.float32)
    moved = relabel_scene(scene, flat, scene.gsd_m, OPTIONS, 0.5)
    assert not moved.scene.known[scene.labels > 0].any()
    assert moved.scene.known.any()
    assert scene.known.all()


def test_a_scene_is_predicted_tile_by_tile(scene: LabelledScene, config: TrainingConfig) -> None:
    sight = build_sight(config.network, 1, torch.float32)
    whole = predict_scene(sight, scene, scene.gsd_m)
    assert whole.shape == scene.labels.shape
    # The middle of one upright tile, looked at alone.
    tile = Pyramid(scene).cut(Placement((288.0, 288.0), 0.0, False, scene.gsd_m), 256)
    image = torch.from_numpy(tile.image.transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        alone = torch.sigmoid(sight.eval()(image))[0, 0].numpy()
    np.testing.assert_allclose(whole[192:384, 192:384], alone[32:224, 32:224], atol=1e-5)
    coarse = predict_scene(sight, scene, 2 * scene.gsd_m)
    assert coarse.shape == (256, 320)


def test_what_has_no_image_is_no_building(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path
) -> None:
    valid = scene.valid.copy()
    valid[:, :300] = False
    sight = build_sight(config.network, 1, torch.float32)
    found = predict_scene(sight, replace(scene, valid=valid), scene.gsd_m)
    assert not found[:, :300].any() and (found[:, 300:] > 0).all()
