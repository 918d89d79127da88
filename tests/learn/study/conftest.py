"""A small study, on a town whose roofs no single threshold on a colour can tell from the ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.learn.conftest import town

RECIPE = """
name = "tiny"
datasets = ["town"]

[network]
encoder = "tu-test_efficientnet"
decoder_channels = [16, 16, 8, 8]
channels = ["building"]

[sampling]
tile_px = 64

[split]
block_m = 32.0
hold_out = 0.2

[schedule]
steps = 20
batch = 4
learning_rate = 0.01
encoder_factor = 1.0
warm_up_steps = 2
ema_decay = 0.5
checkpoint_every = 8
validate_every = 100

[machine]
device = "cpu"
precision = "float32"
threads = 1
workers = 0
"""

STUDY = """
[study]
name = "tiny"
seeds = [0, 1]
base = "tiny.toml"

[[stages]]
name = "rates"
[stages.factors]
rate = [
    { label = "high", "schedule.learning_rate" = 0.01 },
    { label = "none", "schedule.learning_rate" = 1e-9, schedule.steps = 2 },
]

[[stages]]
name = "widths"
reference = "narrow"
[stages.factors]
width = [
    { label = "wide", network.decoder_channels = [16, 16, 8, 8] },
    { label = "narrow", network.decoder_channels = [8, 8, 8, 8] },
]
"""


def write_study(folder: Path) -> Path:
    """The study, its base and its data below `folder`; returns the study's file.

    Half of the roofs are brighter than the ground and half are darker.
    """
    (folder / "town").mkdir(parents=True)
    _, labels = town(512, 640, 1)
    sign = np.where(labels % 2, 1, -1) * (labels > 0)
    noise = np.random.default_rng(1).normal(120, 15, (3, 512, 640))
    image = np.clip(noise + 100 * sign, 0, 255).astype(np.uint8)
    shape = {"height": 512, "width": 640, "dtype": "uint8", "crs": "EPSG:32630"}
    shape["transform"] = Affine(0.25, 0, 500_000, 0, -0.25, 20_000)
    for name, bands in (("scene", image), ("mask", (labels > 0).astype(np.uint8)[None])):
        path = folder / "town" / f"{name}.tif"
        with rasterio.open(path, "w", driver="GTiff", count=len(bands), **shape) as target:
            target.write(bands)
    (folder / "town" / "dataset.toml").write_text(
        'name = "town"\ntitle = "A synthetic town"\nsensor = "none"\ngsd_m = 0.25\n'
        'instances = false\nquality = "clean"\nlicence = "CC0-1.0"\nattribution = ""\n'
        'origin = "drawn by the tests"\nredistribute = true\n'
        '[[scenes]]\nimage = "scene.tif"\nlabels = "mask.tif"\n'
    )
    (folder / "tiny.toml").write_text(RECIPE)
    path = folder / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study")
