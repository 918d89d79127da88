"""Bridges, as the papers' architectures have them: counted in the torch modules."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from buildext.learn.compress.bridge import Bridge, find_bridges
from buildext.learn.compress.export import _trace
from buildext.learn.compress.ir.graph import Graph, read_graph
from buildext.learn.compress.ir.simplify import simplify
from buildext.learn.compress.sites import find_sites
from buildext.learn.networks.build import SegmentationNetwork, build_network
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.networks.normalisation import Normalisation
from buildext.models.card import NetworkSpec


def exported(encoder: str, folder: Path) -> tuple[SegmentationNetwork, Graph]:
    spec = NetworkSpec(encoder=encoder, decoder_channels=(8, 8, 8, 8), head="subpixel")
    network = build_network(spec, ("building",)).eval()
    graph = InferenceGraph(network, Normalisation())
    graph.training = True
    side = network.stride_divisor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _trace(graph, torch.zeros(1, 3, side, side, dtype=torch.uint8), folder / "model.onnx")
    return network, simplify(read_graph(folder / "model.onnx"))


def modules_of(network: torch.nn.Module, kind: str) -> list[str]:
    """Full names of the modules of a class."""
    return [name for name, m in network.named_modules() if type(m).__name__ == kind]


def check_ends(graph: Graph, bridges: tuple[Bridge, ...]) -> None:
    """Every entry begins and every exit ends with a convolution over neighbours."""
    kernels = {site.name: site.kernel_px for site in find_sites(graph)}
    for bridge in bridges:
        assert kernels[bridge.exit[-1]] > 1
        assert any(kernels[name] > 1 for name in bridge.entry)


def test_a_block_of_mobilevit_is_one_bridge(tmp_path: Path) -> None:
    network, graph = exported("tu-mobilevit_xxs", tmp_path)
    blocks = modules_of(network, "WholePatchBlock")
    bridges = find_bridges(graph, network.stride_divisor)
    assert len(bridges) == len(blocks) == 3
    check_ends(graph, bridges)
    for bridge, block in zip(bridges, blocks, strict=True):
        layers = len(network.get_submodule(f"{block}.transformer"))
        # Local representation, then the first projection; the last one and what fuses.
        assert [name.split("/")[-3:][0] for name in bridge.entry[:1]] == ["conv_kxk"]
        assert [n.split("/")[-2] for n in bridge.entry[1:]] == ["conv_1x1", "qkv"]
        assert "transformer.0/" in bridge.entry[-1]
        assert [n.split("/")[-2] for n in bridge.exit[:3]] == ["proj", "fc1", "fc2"]
        assert f"transformer.{layers - 1}/" in bridge.exit[0]
        assert [n.split("/")[-3] for n in bridge.exit[3:]] == ["conv_proj", "conv_fusion"]
        assert sum("MatMul" in name for name in bridge.attention) == 2 * layers


@pytest.mark.parametrize(
    ("encoder", "attention"),
    [
        ("efficientvit_m0", "GroupAttention"),
        ("shvit_s1", "SHSA"),
        ("efficientformerv2_s0", None),
    ],
)
def test_attention_between_convolutions_is_a_bridge_each(
    encoder: str, attention: str | None, tmp_path: Path
) -> None:
    network, graph = exported(encoder, tmp_path)
    bridges = find_bridges(graph, network.stride_divisor)
    kinds = [attention] if attention else ["Attention", "AttentionDownsample"]
    blocks = [name for kind in kinds for name in modules_of(network, kind)]
    assert len(bridges) == len(blocks) > 0
    check_ends(graph, bridges)


def test_layers_of_efficientmod_in_a_row_are_one_bridge(tmp_path: Path) -> None:
    network, graph = exported("efficientmod_xxs", tmp_path)
    bridges = find_bridges(graph, network.stride_divisor)
    # Attention depths 0, 0, 1, 2 (Ma et al., ICLR 2024): one block, then two in a row.
    assert [sum("MatMul" in name for name in b.attention) for b in bridges] == [2, 4]
    check_ends(graph, bridges)
    # The modulation before it: context convolution, both projections, the product's projection.
    assert [n.split("/")[-2] for n in bridges[0].entry] == [
        "context_conv",
        "context_out",
        "value",
        "project",
        "qkv",
    ]


def test_a_convolutional_network_has_none(tmp_path: Path) -> None:
    # Its softmax weighs branches, not places.
    network, graph = exported("tu-skresnet18", tmp_path)
    assert any(node.op == "Softmax" for node in graph.nodes)
    assert find_bridges(graph, network.stride_divisor) == ()


def test_the_hybrid_of_the_tests(hybrid: Graph) -> None:
    (bridge,) = find_bridges(hybrid, 4)
    names = [
        [name.removeprefix("/network/") for name in side] for side in (bridge.entry, bridge.exit)
    ]
    assert names[0] == ["local/Conv", "widen/Conv", "layers/layers.0/qkv/MatMul"]
    assert names[1] == [
        "layers/layers.1/project/MatMul",
        "layers/layers.1/fc1/MatMul",
        "layers/layers.1/fc2/MatMul",
        "narrow/Conv",
        "fuse/Conv",
    ]
