"""What each method minimises, and on which labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from buildext.errors import UsageError
from buildext.learn.training.config import MethodSection, TrainingConfig
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.builder import build_sight
from buildext.learn.training.engine.pool import Pool
from buildext.learn.training.engine.workshop import Workshop, make_accelerator
from buildext.learn.training.methods.dml import MutualLearning
from buildext.learn.training.methods.kd import Distillation, bernoulli_divergence
from buildext.learn.training.methods.table import METHODS
from buildext.progress import SilentProgress


def shop_of(
    config: TrainingConfig, folder: Path, noisy: list[LabelledScene], clean: list[LabelledScene]
) -> Workshop:
    sight = build_sight(config.network, config.seed, torch.float32)
    pool = Pool(noisy, clean, {}, {}, [], {})
    accelerator = make_accelerator(config)
    return Workshop(config, pool, folder, "f", accelerator, SilentProgress(), False, sight)


def with_method(config: TrainingConfig, **method: Any) -> TrainingConfig:
    return config.model_copy(update={"method": MethodSection(**method)})


def test_the_divergence_is_that_of_bernoulli_variables() -> None:
    teacher, student = torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8)
    weight = (torch.rand(2, 1, 8, 8) > 0.3).float()
    for temperature in (1.0, 2.5):
        expected = kl_divergence(
            Bernoulli(logits=teacher / temperature), Bernoulli(logits=student / temperature)
        )
        expected = temperature**2 * (expected * weight).sum() / weight.sum()
        found = bernoulli_divergence(teacher, student, weight, temperature)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert float(bernoulli_divergence(teacher, teacher, weight, 2.0)) == pytest.approx(0, abs=1e-6)
    assert float(bernoulli_divergence(teacher, student, 0 * weight, 2.0)) == 0.0
    sure = torch.full((1, 1, 2, 2), 60.0)
    assert math.isfinite(float(bernoulli_divergence(sure, -sure, torch.ones_like(sure), 1.0)))


def test_a_student_of_full_share_ignores_the_labels(config: TrainingConfig) -> None:
    student, teacher = (build_sight(config.network, seed, torch.float32) for seed in (1, 2))
    task = Distillation(student, teacher, config.loss, share=1.0, temperature=2.0)
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    weight = torch.ones(2, 2, 64, 64)
    losses = [task(image, target, weight)["total"] for target in (0 * weight, weight)]
    assert torch.equal(*losses)
    losses[0].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert any(p.grad is not None for p in student.parameters())
    # The teacher is neither saved nor averaged with the student.
    assert len(task.state_dict()) == len(student.state_dict())


def test_peers_learn_from_each_other(config: TrainingConfig) -> None:
    first, second = (build_sight(config.network, seed, torch.float32) for seed in (1, 2))
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    weight = torch.ones(2, 2, 64, 64)
    target = torch.zeros_like(weight)
    task = MutualLearning(first, [second], config.loss, 0.5, 1.0).eval()
    losses = task(image, target, weight)
    with torch.no_grad():
        alone = [task.label_loss(s(image), target, weight)["total"] for s in (first, second)]
        logits = [s(image) for s in (first, second)]
        there = bernoulli_divergence(logits[0], logits[1], weight, 1.0)
        back = bernoulli_divergence(logits[1], logits[0], weight, 1.0)
        expected = float(sum(alone) + 0.5 * (there + back))
    assert float(losses["total"].detach()) == pytest.approx(expected, rel=1e-5)
    losses["total"].backward()
    assert all(any(p.grad is not None for p in s.parameters()) for s in (first, second))


@pytest.mark.parametrize(
    ("method", "names", "steps"),
    [
        ({"kind": "supervised", "labels": "noisy"}, ["01-noisy"], [6]),
        ({"kind": "sda", "noisy_share": 0.5}, ["01-noisy", "02-clean"], [3, 3]),
        ({"kind": "kd", "noisy_share": 0.7}, ["01-teacher", "02-student"], [4, 2]),
        ({"kind": "dml"}, ["01-mutual"], [6]),
    ],
)
def test_every_method_does_the_same_number_of_steps(
    scene: LabelledScene,
    config: TrainingConfig,
    tmp_path: Path,
    method: dict[str, Any],
    names: list[str],
    steps: list[int],
) -> None:
    config = with_method(config, **method).model_copy(update={"teacher": config.network})
    shop = shop_of(config, tmp_path, [scene], [replace(scene, name="clean/scene")])
    assert METHODS[method["kind"]](shop) is shop.sight
    assert [p.name for p in sorted((tmp_path / "phases").iterdir())] == names
    assert shop.steps == sum(steps) == config.schedule.steps


def test_the_clean_phase_moves_away_from_noisy_labels(
    scene: LabelledScene, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    """Inverted labels first, true ones then: the network must end with the true ones."""
    config = with_method(
        make_config(steps=80, batch=4, learning_rate=0.01, ema_decay=0.5), kind="sda", clean_rate=1
    )
    inverted = replace(scene, labels=(scene.labels == 0).astype(scene.labels.dtype))
    truth = torch.from_numpy(scene.labels[:256, :256] > 0)
    image = torch.from_numpy(scene.image[:256, :256].transpose(2, 0, 1).copy())[None]
    shop = shop_of(config, tmp_path, [inverted], [replace(scene, name="clean/scene")])
    sight = METHODS["sda"](shop).eval()
    with torch.no_grad():
        found = sight(image)[0, 0] > 0
    assert float((found == truth).float().mean()) > 0.85


def test_a_method_without_its_labels_says_so(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="needs clean labels"):
        METHODS["sda"](shop_of(with_method(config, kind="sda"), tmp_path, [scene], []))


def test_distillation_needs_a_teacher(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"without a \[teacher\]"):
        METHODS["kd"](shop_of(with_method(config, kind="kd"), tmp_path, [scene], [scene]))
