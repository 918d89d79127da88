"""What is known of a drawing, what is held out, and what holds a network still."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
import torch
from affine import Affine
from torch.nn.modules.batchnorm import _BatchNorm

from buildext.learn.networks.build import build_network
from buildext.learn.networks.normalisation import Normalisation
from buildext.learn.training.config import LossSection
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.finetuning.drawn import (
    RING_M,
    Patch,
    known_around,
    read_drawing,
    split_patch,
)
from buildext.learn.training.finetuning.tuned import mix
from buildext.learn.training.methods.adapt import Adaptation, Still
from buildext.models.card import NetworkSpec
from buildext.scene import SceneOptions, open_scene

GSD_M = 0.25


@pytest.fixture
def drawn() -> LabelledScene:
    """Two houses of 10 m side, 30 m apart, nothing known yet."""
    labels = np.zeros((200, 400), np.int32)
    labels[80:120, 80:120] = 1
    labels[80:120, 240:280] = 2
    image = np.zeros((200, 400, 3), np.uint8)
    valid = np.ones(labels.shape, bool)
    return LabelledScene("place/part1", image, labels, valid, np.zeros_like(valid), True, GSD_M)


def test_a_ring_is_known_but_not_another_building(drawn: LabelledScene) -> None:
    seen = np.zeros(drawn.labels.shape, np.float32)
    ring_px = round(RING_M / GSD_M)
    plain = known_around(drawn, seen)
    assert plain[80:120, 80 - ring_px : 120 + ring_px].all()
    assert not plain[:, 120 + ring_px + 1 : 240 - ring_px].any()
    # The network sees the first house half a metre too wide, and a neighbour 2 m to its right.
    seen[78:122, 78:122] = 0.9
    seen[80:120, 128:160] = 0.9
    known = known_around(drawn, seen)
    assert known[78:122, 78:122].all()
    # Opening rounds the corners of the neighbour.
    assert not known[84:116, 128:160].any()
    assert not known[84:116, 125:128].any()  # the seam between the two
    assert (known <= plain).all()


def test_what_is_held_out_is_erased_from_what_is_learned(drawn: LabelledScene) -> None:
    known = known_around(drawn, np.zeros(drawn.labels.shape, np.float32))
    patch = Patch(replace(drawn, known=known), Affine.identity())
    kept, tested = (part.scene for part in split_patch(patch, np.array([False, True])))
    assert set(np.unique(kept.labels)) == {0, 1}
    assert set(np.unique(tested.labels[tested.counted])) == {0, 2}
    assert not (kept.counted & tested.counted).any()
    assert not kept.valid[80:120, 240:280].any()
    assert (kept.counted | tested.counted)[known].all()


@pytest.fixture
def sight(tiny_spec: NetworkSpec) -> Sight:
    torch.manual_seed(1)
    return Sight(
        build_network(tiny_spec, ("building", "contact")), Normalisation(), torch.float32
    ).eval()


def test_the_network_is_held_where_nothing_is_known(sight: Sight) -> None:
    task = Adaptation(sight, LossSection(), weight=1.0, temperature=1.0)
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    target, weight = torch.zeros(1, 2, 64, 64), torch.zeros(1, 2, 64, 64)
    unchanged = task(image, target, weight)
    assert float(unchanged["total"].detach()) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        for parameter in sight.network.decoder.parameters():
            parameter.mul_(1.1)
    changed = task(image, target, weight)
    assert float(changed["memory"].detach()) > 1e-4
    # Where everything is known, there is nothing to remember.
    known = task(image, target, torch.ones_like(weight))
    assert float(known["memory"].detach()) == 0
    # The earlier network is neither trained nor saved.
    names = [name for name, _ in task.named_parameters()]
    assert all(name.startswith("sight.") for name in names)


def test_statistics_stay(sight: Sight) -> None:
    Still().apply(sight.network, 0)
    norms = [module for module in sight.network.modules() if isinstance(module, _BatchNorm)]
    assert norms
    assert not any(module.training for module in norms)
    assert sight.network.training
    assert all(parameter.requires_grad for parameter in sight.network.parameters())


def test_weights_go_part_of_the_way() -> None:
    before = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(3)}
    after = {"w": torch.tensor([4.0, 2.0]), "n": torch.tensor(9)}
    mixed = mix(before, after, 0.25)
    assert mixed["w"].tolist() == [1.0, 2.0]
    assert mixed["n"].item() == 9
    assert mix(before, after, 0.0)["w"].tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("pairs", "gap_m", "overlap_m", "teaches"),
    [(3, 0.0, 0.0, True), (2, 0.0, 0.0, False), (4, 3.0, 0.0, False), (4, 0.0, 2.0, False)],
)
def test_seams_are_taught_by_touching_houses_only(
    dataset_folder: Path, tmp_path: Path, pairs: int, gap_m: float, overlap_m: float, teaches: bool
) -> None:
    boxes = []
    for pair in range(pairs):
        left = 500_010.0 + 30 * pair
        boxes.append(shapely.box(left, 19_900, left + 10, 19_910))
        start = left + 10 + gap_m - overlap_m
        boxes.append(shapely.box(start, 19_900, start + 10, 19_910))
    labels = tmp_path / "mine.gpkg"
    pyogrio.raw.write(
        labels,
        geometry=shapely.to_wkb(np.array(boxes)),
        field_data=[],
        fields=[],
        geometry_type="Polygon",
        crs="EPSG:32630",
        driver="GPKG",
    )
    with open_scene([dataset_folder / "scene.tif"], SceneOptions()) as scene:
        assert read_drawing(labels, None, scene).instances is teaches
