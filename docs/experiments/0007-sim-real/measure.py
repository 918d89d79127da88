"""Pixel F1 of networks on test blocks of real scenes with clean labels.

    python docs/experiments/0007-sim-real/measure.py real.json NAME=MODEL ...

`real.toml` beside this file says which scenes these are and which of their blocks are for the test.
All networks see the same upright tiles of 128 px at half a metre.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import torch

from buildext.learn.training.config import load_config
from buildext.learn.training.config.network import NetworkSection
from buildext.learn.training.engine.builder import build_sight, continue_model
from buildext.learn.training.engine.monitor import score_tiles
from buildext.learn.training.engine.pool import read_pool
from buildext.learn.training.tiles.tensors import Batch
from buildext.progress import SilentProgress

log = logging.getLogger("measure")

GSD_M = 0.5


def main() -> None:
    """Measure and write."""
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    path = Path(__file__).with_name("real.toml")
    config = load_config(path)
    sampling = config.sampling.model_copy(update={"gsd_m": (GSD_M, GSD_M)})
    config = config.model_copy(update={"sampling": sampling})
    tests = read_pool(config, path.parent, SilentProgress()).test
    found: dict[str, object] = {
        "gsd_m": GSD_M,
        "tiles": {name: len(tiles) for name, tiles in tests.items()},
    }
    for argument in sys.argv[2:]:
        name, _, model = argument.partition("=")
        section = continue_model(NetworkSection(), model)
        sight = build_sight(section, 0, torch.float32, start=model)
        channels = len(sight.network.channels)
        plain = {d: [only_building(tile, channels) for tile in own] for d, own in tests.items()}
        scores = score_tiles(sight, plain, config.sampling.height_limits_m, 1.0)
        found[name] = {k: round(v, 4) for k, v in scores.items() if k.endswith("/building")}
        log.info("%s: %s", name, found[name])
    Path(sys.argv[1]).write_text(json.dumps(found, indent=1) + "\n")


def only_building(tile: Batch, channels: int) -> Batch:
    """A tile whose other channels, as many as the network has, count for nothing."""
    empty = torch.zeros(channels, *tile["weight"].shape[1:])
    target, weight = empty.clone(), empty.clone()
    target[0], weight[0] = tile["target"][0].float(), tile["weight"][0].float()
    return {"image": tile["image"], "target": target, "weight": weight}


if __name__ == "__main__":
    main()
