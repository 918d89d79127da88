"""Shallow encoders carry nothing that no map depends on, and give the maps that they gave."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from buildext.learn.compress.export import export_onnx
from buildext.learn.networks.build import build_network
from buildext.learn.networks.loading import load_encoder, load_strictly, state_dict_from_onnx
from buildext.learn.networks.normalisation import Normalisation
from buildext.learn.networks.registry import _stages, build_encoder
from buildext.models.card import NetworkSpec

NAMES = (
    "tu-mobilenetv2_100",
    "tu-tf_efficientnetv2_b0",
    "tu-mobilevit_xxs",
    "efficientnet-b0",
    "densenet121",
    "mit_b0",
    "resnet18",
)


@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_maps_stay_and_all_that_is_left_takes_part(name: str, depth: int) -> None:
    torch.manual_seed(0)
    whole = _stages(name, depth, 32, {}).eval()
    after = torch.rand(1)
    torch.manual_seed(0)
    encoder = build_encoder(name, depth)
    assert encoder.training and torch.rand(1) == after  # looking draws nothing
    encoder.eval()
    image = torch.rand(1, 3, 128, 128)
    maps = encoder(image)
    for found, expected in zip(maps, whole(image), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    sum(one.sum() for one in maps[1:]).backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_weights_of_the_whole_encoder_fit(tmp_path: Path) -> None:
    whole = build_encoder("tu-mobilenetv2_100", 5)
    body = whole.model.state_dict()  # type: ignore[union-attr]
    path = tmp_path / "whole.safetensors"
    save_file(body, path)
    shallow = build_encoder("tu-mobilenetv2_100", 4)
    load_encoder(shallow, path)
    mine = shallow.state_dict()
    assert len(mine) < len(body)
    assert all(torch.equal(value, body[key.removeprefix("model.")]) for key, value in mine.items())


def test_a_shallow_network_is_exported_and_read_back(tmp_path: Path) -> None:
    spec = NetworkSpec(
        encoder="tu-mobilenetv2_100",
        encoder_depth=4,
        decoder_channels=(24, 16, 12),
        head="subpixel",
    )
    network = build_network(spec, ("building", "contact")).eval()
    path = tmp_path / "model.onnx"
    export_onnx(network, Normalisation((0.5,) * 3, (0.25,) * 3), path)
    again = build_network(spec, ("building", "contact"))
    load_strictly(again, state_dict_from_onnx(path), str(path))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(image), network(image), rtol=2e-2, atol=2e-2)
