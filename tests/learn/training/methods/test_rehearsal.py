"""Tiles of a model's past: kept in one file, and asked about while it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from buildext.errors import DamagedModelError
from buildext.learn.networks.build import build_network
from buildext.learn.networks.normalisation import Normalisation
from buildext.learn.training.config import LossSection
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.methods.adapt import Adaptation
from buildext.learn.training.methods.rehearsal import SHEET_NAME, read_sheet, write_sheet
from buildext.models.card import NetworkSpec
from buildext.models.store import load_model


def test_tiles_come_back_in_order(tmp_path: Path) -> None:
    # Plain colours survive JPEG; each tile has its own.
    tiles = [np.full((256, 256, 3), (10 * i, 255 - 10 * i, 128), np.uint8) for i in range(16)]
    write_sheet(tmp_path / SHEET_NAME, tiles)
    back = read_sheet(tmp_path / SHEET_NAME)
    assert back.shape == (16, 3, 256, 256) and back.dtype == torch.uint8
    for tile, found in zip(tiles, back, strict=True):
        # Its border shares blocks of colour with its neighbours.
        inner = found.permute(1, 2, 0).numpy()[16:-16, 16:-16].astype(int)
        assert np.abs(inner - tile[16:-16, 16:-16]).max() <= 6
    with pytest.raises(ValueError, match="a multiple of 8"):
        write_sheet(tmp_path / SHEET_NAME, tiles[:5])
    (tmp_path / SHEET_NAME).write_bytes(b"no picture")
    with pytest.raises(DamagedModelError, match="no sheet of tiles"):
        read_sheet(tmp_path / SHEET_NAME)


def test_the_bundled_model_has_a_past() -> None:
    model = load_model("default")
    assert SHEET_NAME in model.card.files
    tiles = read_sheet(model.folder / SHEET_NAME)
    assert len(tiles) >= 16
    assert tiles.float().std() > 20


def test_what_was_seen_in_the_past_counts(tiny_spec: NetworkSpec) -> None:
    torch.manual_seed(1)
    network = build_network(tiny_spec, ("building", "contact"))
    sight = Sight(network, Normalisation(), torch.float32).eval()
    past = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8)
    task = Adaptation(sight, LossSection(), 2.0, 1.0, past).eval()
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    # All labels known: nothing but the past holds the network.
    target, weight = torch.zeros(1, 2, 64, 64), torch.ones(1, 2, 64, 64)
    unmoved = task(image, target, weight)
    assert float(unmoved["rehearsal"].detach()) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.add_(0.3)
    moved = task(image, target, weight)
    assert float(moved["memory"].detach()) == 0.0
    assert float(moved["rehearsal"].detach()) > 1e-3
    labels = task.label_loss(sight(image), target, weight)["total"]
    expected = float((labels + 2.0 * moved["rehearsal"]).detach())
    assert float(moved["total"].detach()) == pytest.approx(expected, rel=1e-5)
