"""Tests of `buildext.learn.networks.encoders.searched` and its plan."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from benchmarks.pairs import check_pair
from buildext.errors import ModelError
from buildext.learn.networks.encoders import hiera, searched
from buildext.learn.networks.encoders.searched_plan import (
    KINDS,
    SearchedPlan,
    StagePlan,
    parse_plan,
)
from buildext.learn.networks.registry import build_encoder
from buildext.models.card import NetworkSpec

from . import checks

# Every kind of block, both ways to halve a map, a condensed stem, taps.
PLANS = {
    "attending": ("8 32", "mask 16 x1", "mask 32 x2 pooled", "global 64 x2 pooled", "global 96 x1"),
    "convolving": ("8 16", "mbconv 16 x1", "mod 24 x2", "single 56 x1", "cga 64 x1"),
    "tapped": ("8 16", "tap 16", "tap 24", "cga 48 x2", "single 64 x1"),
    "mixed": ("8 16", "mod 16 x1", "global 32 x1", "global 64 x1 pooled", "mod 64 x2"),
}


def options(name: str) -> dict[str, str]:
    stem, *stages = PLANS[name]
    return {"stem": stem, **{f"stage{i}": text for i, text in enumerate(stages, start=1)}}


def test_the_plans_have_every_kind() -> None:
    assert {text.split()[0] for _, *stages in PLANS.values() for text in stages} == set(KINDS)


@pytest.mark.parametrize("name", PLANS)
class TestSearched:
    def test_a_plan_is_what_its_options_say(self, name: str) -> None:
        plan = parse_plan(options(name), 5)
        assert plan.options() == options(name)
        assert plan.depth == 5

    def test_maps_at_any_size(self, name: str) -> None:
        encoder = build_encoder("searched", 5, options=options(name))
        checks.assert_maps(encoder, 96, 160)
        checks.assert_maps(encoder, 64, 32)

    def test_no_dead_parameter(self, name: str) -> None:
        torch.manual_seed(0)
        checks.assert_no_dead_parameter(
            checks.scatter(build_encoder("searched", 5, options=options(name)))
        )


@pytest.mark.parametrize(
    ("name", "decoder", "widths", "head"),
    [
        ("attending", "fpn", (32, 32), "conv"),
        ("convolving", "unet", (16, 16, 8, 8), "subpixel"),
    ],
)
def test_the_whole_network_is_exported_and_filled_again(
    name: str, decoder: str, widths: tuple[int, ...], head: Literal["conv", "subpixel"]
) -> None:
    spec = NetworkSpec(
        encoder="searched",
        encoder_options=options(name),
        decoder=decoder,
        decoder_channels=widths,
        head=head,
    )
    check_pair(NetworkSpec.model_validate_json(spec.model_dump_json()))


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_the_default_at_every_depth(depth: int) -> None:
    encoder = searched.build("searched", depth)
    checks.assert_maps(encoder, 64, 96)


def test_attention_is_that_of_hiera() -> None:
    """Mask units in the first two stages, all tokens behind; pooling attends as before it."""
    encoder = build_encoder("searched", 5, options=options("attending"))
    blocks = [block for stage in encoder.stages for block in stage.blocks]
    assert all(type(block) is hiera.Block for block in blocks)
    assert [block.attn.window for block in blocks] == [8, 8, 4, 4, 0, 0]
    assert [block.attn.pool for block in blocks] == [False, True, False, True, False, False]


def test_masked_images_are_whole_numbers_of_units() -> None:
    plain = build_encoder("searched", 3, options={k: options("convolving")[k] for k in FIRST})
    masked = build_encoder("searched", 3, options={k: options("attending")[k] for k in FIRST})
    assert (plain.stride_divisor, masked.stride_divisor) == (8, 32)


FIRST = ("stem", "stage1", "stage2")


@pytest.mark.parametrize(
    ("stage", "text", "told"),
    [
        ("stage1", "conv 16 x1", "expected a kind"),
        ("stage1", "mbconv 20 x1", "multiple of 8"),
        ("stage1", "mask 16 x1 pooled", "behind stage 1"),
        ("stage2", "mod 16 x1 pooled", "pooled queries"),
        ("stage2", "mbconv 16", "at least one block"),
        ("stage2", "tap 16 x2", "at least one block"),
        ("stage3", "mask 16 x1", "first 2 stages"),
        ("stem", "16", "two widths"),
    ],
)
def test_what_cannot_be_built_is_refused(stage: str, text: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        build_encoder("searched", 5, options={**options("mixed"), stage: text})


def test_half_a_plan_is_refused() -> None:
    with pytest.raises(ModelError, match="lacks the option 'stem'"):
        build_encoder("searched", 5, options={"stage1": "mod 16 x1"})
    with pytest.raises(ModelError, match="'stage4' for the encoder searched"):
        build_encoder("searched", 4, options=options("mixed"))
    with pytest.raises(ModelError, match="without channels"):
        SearchedPlan(0, 8, (StagePlan("tap", 8, 0),))


@pytest.mark.parametrize(("width", "heads"), [(16, 1), (48, 1), (64, 2), (112, 2), (256, 8)])
def test_heads_have_thirty_two_channels_at_least(width: int, heads: int) -> None:
    assert searched.heads_of(width) == heads
    assert width % heads == 0
