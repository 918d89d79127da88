"""Two tiny real networks as exported files: a hybrid with one transformer, and a convolutional."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from buildext.learn.compress.export import _trace, export_onnx
from buildext.learn.compress.ir.graph import Graph, read_graph
from buildext.learn.compress.ir.simplify import simplify
from buildext.learn.networks.build import build_network
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.networks.normalisation import Normalisation
from buildext.models.card import Card, Gsd, NetworkSpec
from buildext.models.store import Model, write_model_card

STRIDE_PX = 4


class Layer(nn.Module):
    """Attention over all places, and a perceptron, each behind a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, places, width = x.shape
        qkv = self.qkv(self.first(x)).reshape(batch, places, 3, 2, width // 2)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + self.project(mixed)
        return x + self.fc2(F.gelu(self.fc1(self.second(x))))


class Hybrid(nn.Module):
    """Convolutions, one transformer of two layers, convolutions, a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU()
        )
        self.local = nn.Conv2d(8, 8, 3, 2, 1, groups=8)
        self.widen = nn.Conv2d(8, 16, 1)
        self.layers = nn.Sequential(Layer(16), Layer(16))
        self.narrow = nn.Conv2d(16, 8, 1)
        self.fuse = nn.Conv2d(16, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.head = nn.Conv2d(16, 8, 3, padding=1)
        self.last = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.stem(x)
        local = self.local(fine)
        wide = self.widen(local)
        tokens = self.layers(wide.flatten(2).transpose(1, 2))
        back = self.narrow(tokens.transpose(1, 2).reshape(wide.shape))
        fused = self.fuse(torch.cat([local, back], 1))
        mixed = self.head(torch.cat([self.up(fused).relu(), fine], 1))
        return self.last(F.pixel_shuffle(mixed, 2))


@pytest.fixture(scope="session")
def hybrid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    network = Hybrid()
    with torch.no_grad():
        network.stem[1].running_var.uniform_(0.5, 1.5)
        network.stem[1].running_mean.normal_(0, 0.2)
        network.last.weight.mul_(4.0)
    graph = InferenceGraph(network.eval(), Normalisation())
    graph.training = True
    path = tmp_path_factory.mktemp("hybrid") / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _trace(graph, torch.zeros(1, 3, 16, 24, dtype=torch.uint8), path)
    return path


@pytest.fixture(scope="session")
def hybrid(hybrid_file: Path) -> Graph:
    return simplify(read_graph(hybrid_file))


def pictures(number: int, side: int, seed: int) -> np.ndarray:
    """Images with areas and edges, uint8 `(number, 3, side, side)`."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 3, side // 8, side // 8, generator=generator)
    return (255 * F.interpolate(coarse, size=side)).to(torch.uint8).numpy()


@pytest.fixture(scope="session")
def tiles() -> np.ndarray:
    return pictures(4, 32, 0)


@pytest.fixture(scope="session")
def unseen() -> np.ndarray:
    return pictures(6, 32, 1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model folder as a run writes it, with a network of random weights."""
    torch.manual_seed(0)
    spec = NetworkSpec(
        encoder="tu-test_efficientnet", decoder_channels=(16, 16, 8, 8), head="subpixel"
    )
    network = build_network(spec, ("building", "contact"))
    folder = tmp_path_factory.mktemp("run") / "model"
    folder.mkdir()
    export_onnx(network, Normalisation(), folder / "model.onnx")
    card = Card(
        name="tiny",
        network=spec,
        channels=("building", "contact"),
        mean=Normalisation().mean,
        std=Normalisation().std,
        gsd=Gsd(min_m=0.2, max_m=0.5, preferred_m=0.25),
        tile_px=128,
        stride_divisor=network.stride_divisor,
    )
    return Model(folder, write_model_card(folder, card))
