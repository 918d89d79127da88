"""Several processes on one batch: together they see what one alone would have seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from tests.cli.process import environment, finish, start


def run(recipe: Path, out: Path, processes: int) -> dict[str, float]:
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    command = [sys.executable, "-m", *(launcher if processes > 1 else []), "buildext"]
    done = subprocess.run(
        [*command, "train", str(recipe), "--out", str(out), "--progress", "none"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, float] = json.loads((out / "result.json").read_text())["scores"]
    return result


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ending_the_whole_group_ends_a_training_as_ending_one_does(
    recipe_file: Path, tmp_path: Path, ending: signal.Signals, code: int
) -> None:
    """Queues, containers and terminals send their signal to all processes, workers included."""
    text = recipe_file.read_text().replace("steps = 6", "steps = 100000")
    recipe_file.write_text(text.replace("workers = 0", "workers = 1"))
    out = tmp_path / "run"
    process = start("train", recipe_file, "--out", out, env=environment(OMP_NUM_THREADS="1"))
    try:
        while process.poll() is None and "tiles_s" not in log_of(out):
            time.sleep(0.2)
        # The worst order: the main process hears of it last.
        for worker in psutil.Process(process.pid).children():
            worker.send_signal(ending)
        time.sleep(0.5)
        process.send_signal(ending)
    finally:
        returned, _, stderr = finish(process)
    assert returned == code, stderr
    assert "Traceback" not in stderr


def log_of(out: Path) -> str:
    path = out / "log.csv"
    return path.read_text() if path.exists() else ""


@pytest.mark.timeout(240)
def test_two_processes_are_two_parts_of_a_batch(recipe_file: Path, tmp_path: Path) -> None:
    """Gradients of two processes add up to those of one that takes the batch in two parts."""
    text = recipe_file.read_text().replace("batch = 2", "batch = 4")
    text = text.replace("[machine]", '[machine]\nprecision = "float32"')
    recipe_file.write_text(text.replace("batch = 4", "batch = 4\naccumulate = 2"))
    alone = run(recipe_file, tmp_path / "one", 1)
    recipe_file.write_text(text)
    together = run(recipe_file, tmp_path / "two", 2)
    assert alone.keys() == together.keys()
    ours, theirs = (
        load_file(next((tmp_path / name / "phases").glob("*/checkpoint.safetensors")))
        for name in ("one", "two")
    )
    assert ours.keys() == theirs.keys()
    moments = [name for name in ours if name.startswith("optimiser.exp_avg.")]
    assert moments
    for name in moments:
        # Sums of floats in another order, six steps long.
        distance = float((ours[name] - theirs[name]).norm() / ours[name].norm().clamp(min=1e-6))
        assert distance < 0.02, name
    assert (tmp_path / "two" / "model" / "model.onnx").exists()
