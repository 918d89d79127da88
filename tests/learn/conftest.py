"""Small things to learn on: a synthetic town written to disk, a tiny network, a config."""

from __future__ import annotations

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import pyogrio
import rasterio
import shapely
import torch
from affine import Affine

from buildext.learn.training.config import TrainingConfig, check_config
from buildext.learn.training.data.scenes import LabelledScene
from buildext.models.card import NetworkSpec

CHANNELS = ("building", "contact")
TINY = {"encoder": "tu-test_efficientnet", "decoder_channels": [16, 16, 8, 8]}


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """The networks of the tests are so small that a second thread costs more than it brings."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny_spec() -> NetworkSpec:
    return NetworkSpec(encoder=TINY["encoder"], decoder_channels=(16, 16, 8, 8), head="subpixel")


def town(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright houses in touching pairs on dark noisy ground: image `(H, W, 3)` and labels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(30, 80, (height, width, 3), dtype=np.uint8)
    labels = np.zeros((height, width), np.int32)
    number = 0
    for top in range(10, height - 30, 44):
        for left in range(10, width - 50, 64):
            for part in range(2):
                number += 1
                box = np.s_[top : top + 24, left + 20 * part : left + 20 * part + 20]
                labels[box] = number
                image[box] = rng.integers(150, 240, 3)
    return image, labels


@pytest.fixture
def scene() -> LabelledScene:
    image, labels = town(512, 640, 1)
    valid = np.ones(labels.shape, bool)
    return LabelledScene("town/scene", image, labels, valid, np.ones_like(valid), True, 0.25)


@pytest.fixture
def dataset_folder(tmp_path: Path) -> Path:
    """A dataset card with its scene and polygons beside it; 0.25 m in UTM."""
    folder = tmp_path / "town"
    folder.mkdir()
    image, labels = town(512, 640, 1)
    transform = Affine(0.25, 0, 500_000, 0, -0.25, 20_000)
    with rasterio.open(
        folder / "scene.tif",
        "w",
        driver="GTiff",
        height=512,
        width=640,
        count=3,
        dtype="uint8",
        crs="EPSG:32630",
        transform=transform,
    ) as target:
        target.write(np.moveaxis(image, -1, 0))
    boxes = []
    for number in range(1, labels.max() + 1):
        rows, cols = np.nonzero(labels == number)
        left, right = 500_000 + 0.25 * cols.min(), 500_000 + 0.25 * (cols.max() + 1)
        top, bottom = 20_000 - 0.25 * rows.min(), 20_000 - 0.25 * (rows.max() + 1)
        boxes.append(shapely.box(left, bottom, right, top))
    pyogrio.raw.write(
        folder / "buildings.gpkg",
        geometry=shapely.to_wkb(np.array(boxes)),
        field_data=[],
        fields=[],
        geometry_type="Polygon",
        crs="EPSG:32630",
        driver="GPKG",
    )
    (folder / "dataset.toml").write_text(
        """
name = "town"
title = "A synthetic town"
sensor = "none"
gsd_m = 0.25
instances = true
quality = "clean"
licence = "CC0-1.0"
attribution = ""
origin = "drawn by the tests"
redistribute = true

[[scenes]]
image = "scene.tif"
labels = "buildings.gpkg"
"""
    )
    return folder


RECIPE = """
name = "tiny"
seed = 3
datasets = ["town"]

[network]
encoder = "tu-test_efficientnet"
decoder_channels = [16, 16, 8, 8]

[sampling]
tile_px = 64

[split]
block_m = 32.0
hold_out = 0.2

[schedule]
steps = 6
batch = 2
warm_up_steps = 2
checkpoint_every = 3
validate_every = 3

[machine]
device = "cpu"
threads = 1
workers = 0
"""


@pytest.fixture
def make_config() -> Callable[..., TrainingConfig]:
    """The tiny config with some keys of `[schedule]` changed."""

    def make(**schedule: Any) -> TrainingConfig:
        values = tomllib.loads(RECIPE)
        values["schedule"].update(schedule)
        return check_config(values, "test")

    return make


@pytest.fixture
def config(make_config: Callable[..., TrainingConfig]) -> TrainingConfig:
    return make_config()


@pytest.fixture
def recipe_file(dataset_folder: Path) -> Path:
    path = dataset_folder.parent / "tiny.toml"
    path.write_text(RECIPE)
    return path
