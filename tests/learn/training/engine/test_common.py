"""A phase that runs have in common is trained once, and nobody can tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from buildext.learn.training.config import MethodSection, TrainingConfig
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.methods.table import METHODS
from tests.learn.training.methods.test_methods import shop_of

Weights = dict[str, torch.Tensor]


def run(
    config: TrainingConfig, scene: LabelledScene, folder: Path, common: Path | None, **method: Any
) -> tuple[Weights, float]:
    """Weights after a run, and the seconds that it took up from others."""
    section = MethodSection(**{"kind": "sda", "noisy_share": 0.5, **method})
    config = config.model_copy(update={"method": section, "teacher": config.network})
    shop = shop_of(config, folder, [scene], [replace(scene, name="clean/scene")])
    shop.common = common
    kept = METHODS[section.kind](shop)
    return {k: v.clone() for k, v in kept.state_dict().items()}, shop.earlier_s


@pytest.mark.parametrize("first", [{"unfreeze": "gradual"}, {"clean_rate": 0.7}])
def test_the_noisy_phase_is_trained_once_for_all_that_follow(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path, first: dict[str, Any]
) -> None:
    alone, earlier_s = run(config, scene, tmp_path / "alone", None)
    assert earlier_s == 0
    common = tmp_path / "common"
    _, earlier_s = run(config, scene, tmp_path / "first", common, **first)
    assert earlier_s == 0 and len(list(common.iterdir())) == 1
    second, earlier_s = run(config, scene, tmp_path / "second", common)
    assert earlier_s > 0, "what the phase took counts for every run that uses it"
    assert len(list(common.iterdir())) == 1
    assert alone.keys() == second.keys()
    assert all(torch.equal(alone[k], second[k]) for k in alone)


def test_what_a_phase_depends_on_tells_it_from_others(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path
) -> None:
    moved = replace(scene, labels=torch.from_numpy(scene.labels).roll(3, 1).numpy())
    other_seed = config.model_copy(update={"seed": config.seed + 1})
    rate = config.schedule.model_copy(update={"learning_rate": 1e-4})
    other_rate = config.model_copy(update={"schedule": rate})
    common = tmp_path / "common"
    variants: list[tuple[TrainingConfig, LabelledScene, dict[str, Any]]] = [
        (config, scene, {}),
        (config, moved, {}),
        (other_seed, scene, {}),
        (other_rate, scene, {}),
        (config, scene, {"noisy_share": 0.7}),
        # A teacher has random parts of its own.
        (config, scene, {"kind": "kd"}),
    ]
    for number, (changed, shown, method) in enumerate(variants):
        _, earlier_s = run(changed, shown, tmp_path / str(number), common, **method)
        assert earlier_s == 0
        assert len(list(common.iterdir())) == number + 1
