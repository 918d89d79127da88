"""Weights fit exactly or are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from buildext.errors import ModelError
from buildext.learn.networks.build import SegmentationNetwork, build_network
from buildext.learn.networks.loading import load_encoder, state_dict_from_onnx
from buildext.learn.networks.registry import build_encoder
from buildext.models.card import NetworkSpec


@pytest.fixture
def network(tiny_spec: NetworkSpec) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_network(tiny_spec, ("building",))


def encoder_tensors(spec: NetworkSpec) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    tensors = build_network(spec, ("building",)).encoder.model.state_dict()
    return {k: v.clone() for k, v in tensors.items()}


def test_an_encoder_is_loaded_whole_and_its_unused_layers_are_dropped(
    network: SegmentationNetwork, tiny_spec: NetworkSpec, tmp_path: Path
) -> None:
    tensors = encoder_tensors(tiny_spec)
    extra = {"conv_head.weight": torch.ones(2), "bn2.bias": torch.ones(2)}
    save_file({**tensors, **extra}, tmp_path / "w.safetensors")
    load_encoder(network.encoder, tmp_path / "w.safetensors")
    for name, value in network.encoder.model.state_dict().items():
        torch.testing.assert_close(value, tensors[name])


def test_a_missing_key_is_named(
    network: SegmentationNetwork, tiny_spec: NetworkSpec, tmp_path: Path
) -> None:
    tensors = encoder_tensors(tiny_spec)
    del tensors["conv_stem.weight"]
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"1 missing \(conv_stem.weight\)"):
        load_encoder(network.encoder, tmp_path / "w.safetensors")


def test_an_unexpected_key_is_named(
    network: SegmentationNetwork, tiny_spec: NetworkSpec, tmp_path: Path
) -> None:
    tensors = encoder_tensors(tiny_spec) | {"classifier.weight": torch.ones(2)}
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"1 unexpected \(classifier.weight\)"):
        load_encoder(network.encoder, tmp_path / "w.safetensors")


def test_another_shape_is_named(
    network: SegmentationNetwork, tiny_spec: NetworkSpec, tmp_path: Path
) -> None:
    tensors = encoder_tensors(tiny_spec)
    tensors["bn1.weight"] = torch.ones(3)
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"1 of another shape \(bn1.weight\)"):
        load_encoder(network.encoder, tmp_path / "w.safetensors")


def test_no_file_and_no_safetensors(network: SegmentationNetwork, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no file at"):
        load_encoder(network.encoder, tmp_path / "none.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelError, match="no safetensors file"):
        load_encoder(network.encoder, tmp_path / "w.safetensors")


def test_an_unreadable_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        state_dict_from_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["resnet18", "efficientvit_m0", "efficientmod_xxs"])
def test_smps_and_our_own_encoders_load_with_their_own_keys(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    given = build_encoder(name, 5)
    tensors = {k: v.clone() for k, v in given.state_dict().items()}
    save_file(tensors, tmp_path / "w.safetensors")
    torch.manual_seed(2)
    encoder = build_encoder(name, 5)
    load_encoder(encoder, tmp_path / "w.safetensors")
    for key, value in encoder.state_dict().items():
        torch.testing.assert_close(value, tensors[key])


def test_a_classifier_of_timm_fills_our_encoder_without_its_head(tmp_path: Path) -> None:
    classifier = timm.create_model("efficientvit_m0", pretrained=False)
    save_file(dict(classifier.state_dict()), tmp_path / "w.safetensors")
    encoder = build_encoder("efficientvit_m0", 5)
    load_encoder(encoder, tmp_path / "w.safetensors")
    key = "patch_embed.conv1.conv.weight"
    torch.testing.assert_close(encoder.model.state_dict()[key], classifier.state_dict()[key])
