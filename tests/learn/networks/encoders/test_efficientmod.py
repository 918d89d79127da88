"""Tests of `buildext.learn.networks.encoders.efficientmod`."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from buildext.errors import ModelError
from buildext.learn.networks.encoders import efficientmod
from buildext.learn.networks.encoders.efficientmod import (
    Attention,
    AttentionBlock,
    Modulation,
)

from . import checks

# Millions of parameters and thousands of millions of MACs at 224 pixels: the paper's table.
PAPER = {
    "efficientmod_xxs": (4.74, 0.58),
    "efficientmod_xs": (6.63, 0.77),
    "efficientmod_s": (12.90, 1.40),
    "efficientmod_s_conv": (12.87, 1.47),
}
NAMES = pytest.mark.parametrize("name", efficientmod.VARIANTS)


@NAMES
def test_figures_of_the_paper(name: str) -> None:
    with torch.device("meta"):
        parameters, macs = checks.figures(efficientmod.classifier(name))
    paper_parameters, paper_gmacs = PAPER[name]
    assert parameters == pytest.approx(paper_parameters, rel=0.001)
    assert macs / 1e3 == pytest.approx(paper_gmacs, rel=0.005)


@NAMES
@pytest.mark.parametrize("depth", [3, 4, 5])
def test_maps_at_any_size(name: str, depth: int) -> None:
    with torch.device("meta"):
        encoder = efficientmod.build(name, depth)
        checks.assert_maps(encoder, 96, 160)
        checks.assert_maps(encoder, 256, 32)
    assert encoder.stride_divisor == 2**depth


@pytest.mark.parametrize("widening", [1, 4, 6])
def test_modulation_is_the_formula_of_the_paper(widening: int) -> None:
    """The block against the formula, written with sums over channels and neighbours."""
    torch.manual_seed(widening)
    block = checks.scatter(Modulation(8, widening, 0.0)).double().eval()
    weights = block.state_dict()
    x = torch.randn(2, 9, 11, 8, dtype=torch.float64)

    def linear(name: str, values: torch.Tensor) -> torch.Tensor:
        return (
            torch.einsum("nhwc,kc->nhwk", values, weights[f"{name}.weight"])
            + (weights[f"{name}.bias"])
        )

    def gelu(values: torch.Tensor) -> torch.Tensor:
        return values * 0.5 * (1 + torch.erf(values / math.sqrt(2)))

    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    normed = (x - mean) / torch.sqrt(variance + 1e-6) * weights["norm.weight"]
    normed = normed + weights["norm.bias"]
    inner = linear("context_in", normed)
    around = weights["context_conv.bias"].expand_as(inner).clone()
    kernel = weights["context_conv.weight"]
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            for y in range(max(0, -dy), min(9, 9 - dy)):
                for column in range(max(0, -dx), min(11, 11 - dx)):
                    around[:, y, column] += (
                        kernel[:, 0, dy + 3, dx + 3] * inner[:, y + dy, column + dx]
                    )
    context = linear("context_out", gelu(around))
    value = linear("value", normed)
    if widening > 1:
        value = gelu(value)
    repeated = torch.stack([value[..., i] * context[..., i % 8] for i in range(8 * widening)], -1)
    expected = x + weights["scale"] * linear("project", repeated)
    assert (expected - x).abs().max() > 1e-3
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("dim", [144, 320])
def test_attention_is_a_weighted_mean_over_the_map(dim: int) -> None:
    attention = checks.scatter(Attention(dim)).double().eval()
    x = torch.randn(2, 3, 5, dim, dtype=torch.float64)
    channels = max(32, dim // 8)
    with torch.no_grad():
        qkv = attention.qkv(x).reshape(2, 15, 3 * 8, channels)
        heads = []
        for head in range(8):
            q, k, v = qkv[:, :, head], qkv[:, :, 8 + head], qkv[:, :, 16 + head]
            weights = torch.exp(q @ k.transpose(1, 2) / math.sqrt(channels))
            heads.append(weights / weights.sum(dim=-1, keepdim=True) @ v)
        expected = attention.project(torch.cat(heads, dim=-1)).reshape(2, 3, 5, dim)
        torch.testing.assert_close(attention(x), expected)


@NAMES
def test_blocks_stand_in_the_papers_order(name: str) -> None:
    variant = efficientmod.VARIANTS[name]
    with torch.device("meta"):
        encoder = efficientmod.build(name)
    for stage, modulations, attentions in zip(
        encoder.stages, variant.modulations, variant.attentions, strict=True
    ):
        kinds = [type(block) for block in stage.blocks]
        assert kinds == [Modulation] * modulations + [AttentionBlock] * attentions
        widenings = [block.widening for block in stage.blocks[:modulations]]
        assert widenings[:3] == [1, variant.widening, 1][: len(widenings)]


def test_drop_path_grows_and_is_silent_in_evaluation() -> None:
    encoder = checks.scatter(efficientmod.build("efficientmod_xxs", drop_path=0.3))
    rates = [b.drop_path.drop_prob for stage in encoder.stages for b in stage.blocks]
    assert (rates[0], rates[-1]) == (0.0, pytest.approx(0.3))
    assert rates == sorted(rates)
    images = torch.rand(4, 3, 64, 64)
    torch.manual_seed(0)
    with torch.no_grad():
        assert (encoder.train()(images)[-1] != encoder(images)[-1]).any()
        encoder.eval()
        assert torch.equal(encoder(images)[-1], encoder(images)[-1])


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_drop_path_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ModelError, match="expected a share"):
        efficientmod.build("efficientmod_xxs", drop_path=share)


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'deep' for the encoder .*one of drop_path"):
        efficientmod.build("efficientmod_xxs", deep=True)
    with pytest.raises(ModelError, match="got the encoder 'efficientmod_m'"):
        efficientmod.build("efficientmod_m")
    with pytest.raises(ModelError, match="got the encoder 'efficientmod_m'"):
        efficientmod.classifier("efficientmod_m")


def test_a_classifier_without_its_head_is_an_encoder() -> None:
    with torch.device("meta"):
        whole = efficientmod.classifier("efficientmod_xs").state_dict()
        own = efficientmod.build("efficientmod_xs").state_dict()
    assert set(own) == {k for k in whole if not k.startswith(efficientmod.HEAD_PREFIXES)}


@pytest.mark.parametrize("name", ["efficientmod_xxs", "efficientmod_s_conv"])
def test_no_dead_parameter(name: str) -> None:
    checks.assert_no_dead_parameter(checks.scatter(efficientmod.build(name)))


def test_export(tmp_path: Path) -> None:
    checks.assert_same_when_exported(efficientmod.build("efficientmod_xxs"), tmp_path)
