"""Tiles a second of the training engine against a bare torch loop of the same network.

    python -m benchmarks.training [CONFIG] [--steps 40] [--rounds 3]

Both do what every step must: forward, loss, backward, clip, step, in the config's precision and
with its threads. The bare loop gets one batch that lies in memory; the engine also reads, warps and
augments its tiles, keeps a running mean of the weights and writes its log. They take turns, so that
whatever else the machine does falls on both; what is printed is the ratio of the medians. Without a
CONFIG the default recipe's network learns from the bundled scenes.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch

from buildext.learn.training.config import TrainingConfig, load_config
from buildext.learn.training.engine.builder import build_sight
from buildext.learn.training.engine.fit import fit
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.pool import Pool, read_pool
from buildext.learn.training.engine.precision import precision_of
from buildext.learn.training.engine.workshop import Workshop, make_accelerator
from buildext.learn.training.losses import segmentation_loss
from buildext.learn.training.methods.supervised import Supervised
from buildext.learn.training.run import resolved
from buildext.learn.training.tiles.loader import make_loader
from buildext.learn.training.tiles.sampling import TileSampler
from buildext.progress import SilentProgress

SAMPLE = Path(__file__).parents[1] / "datasets" / "kampala_b"
WARM_UP = 3


def sample_config(folder: Path) -> Path:
    """A config that learns from the bundled scene, which is for validation otherwise."""
    for file in ("scene.tif", "buildings.gpkg"):
        shutil.copy(SAMPLE / file, folder)
    card = (SAMPLE / "dataset.toml").read_text().replace('use = "validate"', 'use = "train"')
    (folder / "dataset.toml").write_text(card.replace("validation/kampala_b/", ""))
    path = folder / "speed.toml"
    path.write_text('name = "speed"\ndatasets = ["."]\n[schedule]\nsteps = 1\n')
    return path


def bare(config: TrainingConfig, pool: Pool, steps: int, device: torch.device) -> float:
    """Tiles a second of the plainest loop: torch, and of the engine's parts the loss alone."""
    precision = precision_of(config.machine, device)
    sight = build_sight(config.network, config.seed, precision).to(device)
    network = sight.network.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    sampler = TileSampler(pool.scenes("all"), config.sampling, config.seed)
    batch = next(iter(make_loader(sampler, config, 0, 1)))
    image = batch["image"].to(device)
    target, weight = batch["target"].to(device).float(), batch["weight"].to(device).float()
    started = 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            started = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        scaled = (image.float() / 255.0 - sight.mean) / sight.std
        scaled = scaled.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits = network(scaled)
        losses = segmentation_loss(logits.float(), target, weight, network.channels, config.loss)
        loss = losses["total"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        float(loss.detach())
    return steps * config.schedule.batch / (time.perf_counter() - started)


def engine(config: TrainingConfig, pool: Pool, steps: int, folder: Path) -> float:
    """Tiles a second of `fit`, its start-up (workers, pyramids) left out as in a long run."""

    class Watch(SilentProgress):
        started = stopped = 0.0
        done = 0

        def advance(self, amount: float = 1.0) -> None:
            self.done += 1
            if self.done == WARM_UP:
                self.started = time.perf_counter()
            self.stopped = time.perf_counter()

    watch = Watch()
    accelerator = make_accelerator(config)
    precision = precision_of(config.machine, accelerator.device)
    sight = build_sight(config.network, config.seed, precision)
    shop = Workshop(config, pool, folder, "", accelerator, watch, False, sight)
    phase = Phase("speed", WARM_UP + steps, pool.scenes("all"))
    fit(shop, phase, Supervised(sight, config.loss))
    return steps * config.schedule.batch / (watch.stopped - watch.started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", type=Path)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.config or sample_config(Path(folder))
        base = path.resolve().parent
        config = resolved(load_config(path), base)
        pool = read_pool(config, base, SilentProgress())
    # Neither loop is to be held up by scoring or saving.
    pool.monitor.clear()
    rare = {"checkpoint_every": 10**9, "validate_every": 10**9}
    config = config.model_copy(update={"schedule": config.schedule.model_copy(update=rare)})
    device = make_accelerator(config).device
    speeds: dict[str, list[float]] = {"bare": [], "engine": []}
    for _ in range(options.rounds):
        speeds["bare"].append(bare(config, pool, options.steps, device))
        with tempfile.TemporaryDirectory() as folder:
            speeds["engine"].append(engine(config, pool, options.steps, Path(folder)))
    for name, values in speeds.items():
        told = ", ".join(f"{value:.1f}" for value in values)
        print(f"{name:7s} {statistics.median(values):6.1f} tiles/s  ({told}) on {device}")
    ratio = statistics.median(speeds["engine"]) / statistics.median(speeds["bare"])
    print(f"engine / bare = {ratio:.2f}")


if __name__ == "__main__":
    main()
