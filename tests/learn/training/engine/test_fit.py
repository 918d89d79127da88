"""An interrupted and resumed run is the same run, bit for bit, whatever the method."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from buildext.errors import ModelError, UsageError
from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.builder import build_sight
from buildext.learn.training.engine.fit import fit
from buildext.learn.training.engine.log import last_scores
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.pool import Pool
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.split import blocks_of
from buildext.learn.training.engine.workshop import Workshop, make_accelerator
from buildext.learn.training.methods.supervised import Supervised
from buildext.learn.training.methods.table import METHODS
from buildext.learn.training.tiles.sampling import monitor_tiles
from buildext.learn.training.tiles.tensors import as_tensors
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


def workshop(
    scene: LabelledScene,
    config: TrainingConfig,
    folder: Path,
    *,
    stop_after: int = 0,
    resume: bool = False,
    fingerprint: str = "f",
) -> Workshop:
    folder.mkdir(exist_ok=True)
    held_out = monitor_tiles(scene, blocks_of(scene, 32.0)[:2], config.sampling)
    monitor = {"town": [as_tensors(tile, config) for tile in held_out]}
    pool = Pool([scene], [replace(scene, name="clean/scene")], monitor, {}, [], {})
    progress = Interrupting(stop_after) if stop_after else SilentProgress()
    accelerator = make_accelerator(config)
    sight = build_sight(config.network, config.seed, torch.float32)
    if resume:
        # A resumed run starts from other random numbers: all it needs is in the checkpoint.
        torch.manual_seed(99)
    return Workshop(config, pool, folder, fingerprint, accelerator, progress, resume, sight)


def run(scene: LabelledScene, config: TrainingConfig, folder: Path, **options: Any) -> Sight:
    shop = workshop(scene, config, folder, **options)
    return METHODS[config.method.kind](shop)


def logged(folder: Path) -> list[dict[str, str]]:
    """All rows of the log but the speed."""
    with (folder / "log.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["name"] != "tiles_s"]


METHOD_TABLES: list[dict[str, Any]] = [
    {"kind": "supervised"},
    {"kind": "sda"},
    {"kind": "sda", "unfreeze": "gradual"},
    {"kind": "kd"},
    {"kind": "dml"},
    {"kind": "align", "rounds": 1},
    {"kind": "align+sda", "rounds": 1},
    {"kind": "sda+align", "rounds": 1, "noisy_share": 0.5},
]
LEANING = ("building", "contact", "offset_x", "offset_y")


def test_a_run_that_learns_the_lean_resumes_bit_for_bit(
    scene: LabelledScene, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    steps = torch.full((int(scene.labels.max()) + 1, 2), 6.0).numpy()
    leaning = replace(scene, offsets_m=steps)
    config = make_config(checkpoint_every=1, steps=12)
    network = config.network.model_copy(update={"channels": LEANING})
    loss = config.loss.model_copy(update={"offset": 4.0, "offset_range_m": 20.0})
    config = config.model_copy(update={"network": network, "loss": loss})
    straight = run(leaning, config, tmp_path / "straight")
    with pytest.raises(InterruptedRunError):
        run(leaning, config, tmp_path / "broken", stop_after=5)
    resumed = run(leaning, config, tmp_path / "broken", resume=True)
    rows = logged(tmp_path / "straight")
    assert rows == logged(tmp_path / "broken")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    errors = [float(row["value"]) for row in rows if row["name"] == "held_out/mean/offset_m"]
    # Training tiles are turned at random, so no step at all, 8.5 m off, is the best first guess.
    assert len(errors) == 4
    assert 0 < errors[-1] < 12
    assert "held_out/mean/offset_x" not in {row["name"] for row in rows}


@pytest.mark.parametrize("stop_after", [3, 5, 9])
def test_a_run_that_looks_for_hard_places_resumes_bit_for_bit(
    scene: LabelledScene,
    make_config: Callable[..., TrainingConfig],
    tmp_path: Path,
    stop_after: int,
) -> None:
    config = make_config(checkpoint_every=2, steps=12)
    sampling = config.sampling.model_copy(update={"hard_tiles": 0.5, "mine_every": 4})
    mining = config.model_copy(update={"sampling": sampling})
    plain = run(scene, config, tmp_path / "plain")
    straight = run(scene, mining, tmp_path / "straight")
    with pytest.raises(InterruptedRunError):
        run(scene, mining, tmp_path / "broken", stop_after=stop_after)
    resumed = run(scene, mining, tmp_path / "broken", resume=True)
    assert logged(tmp_path / "straight") == logged(tmp_path / "broken")
    own = straight.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in resumed.state_dict().items())
    # It looked, and drew other tiles for it.
    assert len(list((tmp_path / "straight").rglob("errors-*.safetensors"))) == 2
    assert any(not torch.equal(value, own[name]) for name, value in plain.state_dict().items())


@pytest.mark.parametrize("method", METHOD_TABLES, ids=lambda m: "-".join(map(str, m.values())))
@pytest.mark.parametrize("stop_after", [2, 5])
def test_resuming_is_bit_for_bit(
    scene: LabelledScene,
    make_config: Callable[..., TrainingConfig],
    tmp_path: Path,
    method: dict[str, Any],
    stop_after: int,
) -> None:
    config = make_config(checkpoint_every=1)
    config = config.model_copy(
        update={
            "method": config.method.model_copy(update=method),
            "teacher": config.network if method["kind"] == "kd" else None,
        }
    )
    straight = run(scene, config, tmp_path / "straight")
    with pytest.raises(InterruptedRunError):
        run(scene, config, tmp_path / "broken", stop_after=stop_after)
    resumed = run(scene, config, tmp_path / "broken", resume=True)
    assert logged(tmp_path / "straight") == logged(tmp_path / "broken")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    checkpoints = sorted(
        p.relative_to(tmp_path / "straight") for p in (tmp_path / "straight").glob("phases/*/*")
    )
    phases = {"supervised": 1, "dml": 1, "sda": 2, "kd": 2, "align": 2}
    phases |= {"align+sda": 3, "sda+align": 3}
    assert len(checkpoints) == phases[method["kind"]]
    for path in checkpoints:
        ours, theirs = (
            load_file(tmp_path / "straight" / path),
            load_file(tmp_path / "broken" / path),
        )
        assert ours.keys() == theirs.keys()
        assert any(name.startswith("optimiser.exp_avg_sq.") for name in ours)
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "rmsprop", "nadam", "radam"])
def test_every_optimiser_resumes_bit_for_bit(
    scene: LabelledScene,
    make_config: Callable[..., TrainingConfig],
    tmp_path: Path,
    optimiser: str,
) -> None:
    config = make_config(optimiser=optimiser, learning_rate=1e-3, checkpoint_every=1)
    straight = run(scene, config, tmp_path / "straight")
    with pytest.raises(InterruptedRunError):
        run(scene, config, tmp_path / "broken", stop_after=4)
    resumed = run(scene, config, tmp_path / "broken", resume=True)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_worker_process_changes_nothing(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path
) -> None:
    alone = run(scene, config, tmp_path / "alone")
    machine = config.machine.model_copy(update={"workers": 1})
    helped = run(scene, config.model_copy(update={"machine": machine}), tmp_path / "helped")
    for name, value in alone.state_dict().items():
        assert torch.equal(value, helped.state_dict()[name]), name


def test_another_config_is_not_resumed(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(InterruptedRunError):
        run(scene, config, tmp_path, stop_after=4)
    with pytest.raises(ModelError, match="another config"):
        run(scene, config, tmp_path, resume=True, fingerprint="g")


def test_a_damaged_checkpoint_is_named(
    scene: LabelledScene, config: TrainingConfig, tmp_path: Path
) -> None:
    run(scene, config, tmp_path)
    [path] = tmp_path.glob("phases/*/*")
    path.write_bytes(b"damaged")
    with pytest.raises(ModelError, match="damaged"):
        run(scene, config, tmp_path, resume=True)


def test_it_learns_and_logs(
    scene: LabelledScene, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    config = make_config(steps=60, batch=4, learning_rate=0.01, ema_decay=0.5, validate_every=60)
    shop = workshop(scene, config, tmp_path)
    scores = shop.validate(METHODS["supervised"](shop))
    assert scores["town/building"] > 0.8
    assert scores == pytest.approx(last_scores(tmp_path), rel=1e-5)
    losses = [float(row["value"]) for row in logged(tmp_path) if row["name"] == "loss/total"]
    assert losses[-1] < 0.8 * losses[0]
    assert any((tmp_path / "tensorboard").iterdir())


def test_accumulated_parts_count_as_one_step(
    scene: LabelledScene, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    # The same tile in both halves of the batch: the parts' gradients are then those of the whole.
    config = make_config(steps=3, batch=4, accumulate=2, warm_up_steps=0)
    run(scene, config, tmp_path)
    rates = [row for row in logged(tmp_path) if row["name"] == "rate"]
    assert [row["step"] for row in rates] == ["3"]


def test_a_batch_must_divide(
    scene: LabelledScene, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="a multiple of 3"):
        run(scene, make_config(batch=4, accumulate=3), tmp_path)


def test_early_stopping_keeps_the_best_weights(
    scene: LabelledScene, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    # A rate that destroys what was learned: later validations are worse than an early one.
    config = make_config(
        steps=80, batch=4, learning_rate=0.02, validate_every=10, patience=2, curve="constant"
    )
    shop = workshop(scene, config, tmp_path)
    scores = fit(shop, Phase("p", 80, shop.pool.noisy), Supervised(shop.sight, config.loss))
    seen = [float(r["value"]) for r in logged(tmp_path) if r["name"] == "held_out/mean/building"]
    assert scores["mean/building"] == pytest.approx(max(seen), rel=1e-5)
    last = max(i for i, value in enumerate(seen) if value == max(seen))
    assert len(seen) in (8, last + 3)


def test_a_loss_that_is_no_number_stops_the_run(
    scene: LabelledScene, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    config = make_config(learning_rate=1e30, warm_up_steps=0, clip_norm=1e30, optimiser="sgd")
    with pytest.raises(ModelError, match="expected finite numbers"):
        run(scene, config, tmp_path)
