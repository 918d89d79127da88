"""An interrupted and resumed run is the same run, bit for bit."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from buildext.errors import ModelError
from buildext.learn.networks.build import SegmentationNetwork, build_network
from buildext.learn.training.checkpoint import FILE_NAME
from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.log import last_scores
from buildext.learn.training.loop import train_network
from buildext.learn.training.sampling import TileSampler, monitor_tiles
from buildext.learn.training.scenes import LabelledScene
from buildext.learn.training.split import blocks_of
from buildext.learn.training.tiles import as_tensors
from buildext.progress import SilentProgress


class InterruptedRunError(Exception):
    """Raised by a progress that ends a run in the middle."""


class Interrupting(SilentProgress):
    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, amount: float = 1.0) -> None:
        self.left -= 1
        if self.left == 0:
            raise InterruptedRunError


def run(
    scene: LabelledScene,
    config: TrainingConfig,
    folder: Path,
    *,
    stop_after: int = 0,
    resume: bool = False,
    fingerprint: str = "f",
) -> tuple[SegmentationNetwork, dict[str, float]]:
    folder.mkdir(exist_ok=True)
    # A resumed run starts from other random numbers: all it needs is in the checkpoint.
    torch.manual_seed(99 if resume else 0)
    network = build_network(config.network.spec(), config.network.channels)
    sampler = TileSampler([scene], config.sampling, config.seed)
    held_out = monitor_tiles(scene, blocks_of(scene, 32.0)[:2], config.sampling)
    monitor = {"town": [as_tensors(tile, config) for tile in held_out]}
    progress = Interrupting(stop_after) if stop_after else SilentProgress()
    scores = train_network(
        network, sampler, monitor, config, folder, fingerprint, progress, resume=resume
    )
    return network, scores


def logged(folder: Path) -> list[dict[str, str]]:
    """All rows of the log but the speed."""
    with (folder / "log.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["name"] != "tiles_s"]


@pytest.mark.parametrize("workers", [0, 1])
def test_resuming_is_bit_for_bit(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path, workers: int
) -> None:
    machine = config.machine.model_copy(update={"workers": workers})
    config = config.model_copy(update={"machine": machine})
    straight, scores = run(scene, config, tmp_path / "straight")
    with pytest.raises(InterruptedRunError):
        run(scene, config, tmp_path / "broken", stop_after=5)
    resumed, scores_resumed = run(scene, config, tmp_path / "broken", resume=True)
    assert scores == scores_resumed
    assert logged(tmp_path / "straight") == logged(tmp_path / "broken")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    ours, theirs = (load_file(tmp_path / f / FILE_NAME) for f in ("straight", "broken"))
    assert ours.keys() == theirs.keys()
    assert any(name.startswith("exp_avg_sq.") for name in ours)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def test_another_config_is_not_resumed(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(InterruptedRunError):
        run(scene, config, tmp_path, stop_after=4)
    with pytest.raises(ModelError, match="another config"):
        run(scene, config, tmp_path, resume=True, fingerprint="g")


def test_resuming_needs_a_checkpoint(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="no checkpoint"):
        run(scene, config, tmp_path, resume=True)
    (tmp_path / FILE_NAME).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="damaged"):
        run(scene, config, tmp_path, resume=True)


def test_it_learns_and_logs(
    scene: LabelledScene, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    config = make_config(steps=60, batch=4, learning_rate=0.01, ema_decay=0.5, validate_every=60)
    _, scores = run(scene, config, tmp_path)
    assert scores["town/building"] > 0.8
    assert scores == pytest.approx(last_scores(tmp_path), rel=1e-5)
    losses = [float(row["value"]) for row in logged(tmp_path) if row["name"] == "loss/total"]
    assert losses[-1] < 0.8 * losses[0]
    assert any((tmp_path / "tensorboard").iterdir())
