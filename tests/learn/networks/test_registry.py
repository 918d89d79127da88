"""One name space for timm's, smp's and our own encoders, with refusals that help."""

from __future__ import annotations

import pytest
import torch

from buildext.errors import ModelError
from buildext.learn.networks.registry import (
    OWN_FAMILIES,
    build_encoder,
    deepest_stride,
    out_channels,
    own_names,
    smp_names,
    timm_names,
)


@pytest.mark.parametrize(
    "name", ["tu-test_efficientnet", "tu-fasternet_t0", "resnet18", "efficientvit_m0"]
)
def test_every_kind_keeps_the_contract(name: str) -> None:
    encoder = build_encoder(name, 5)
    widths = out_channels(encoder)
    with torch.no_grad():
        maps = encoder.eval()(torch.randn(1, 3, 64, 96))
    assert [m.shape[1] for m in maps] == widths
    assert widths[0] == 3
    for stage, one in enumerate(maps):
        assert one.shape[2:] == (64 // 2**stage, 96 // 2**stage)
    assert deepest_stride(encoder) == 32


def test_the_three_kinds_do_not_share_names() -> None:
    kinds = [set(own_names()), set(smp_names()), set(timm_names())]
    assert sum(map(len, kinds)) == len(set.union(*kinds))
    for prefix in OWN_FAMILIES:
        assert any(name.startswith(prefix) for name in own_names())


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("tu-efficientvit_m3", "efficientvit_m3"),
        ("tu-shvit_s2", "shvit_s2"),
        ("tu-hiera_tiny_224", "hiera_tiny"),
        ("tu-efficientformer_l1", "efficientformer_l1"),
        ("tu-efficientformerv2_s0", "efficientformerv2_s0"),
    ],
)
def test_what_timm_has_in_an_unusable_form_names_ours(name: str, own: str) -> None:
    with pytest.raises(ModelError) as caught:
        build_encoder(name, 5)
    assert repr(own) in str(caught.value)
    build_encoder(own, 5)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("tu-eficientnet_b0", "tu-efficientnet_b0"),
        ("efficientnet_b0", "efficientnet-b0"),
        ("fasternet_t0", "tu-fasternet_t0"),
        ("shvit_s9", "shvit_s"),
        ("resnet43", "resnet"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ModelError, match=f"did you mean {near}"):
        build_encoder(name, 5)


def test_what_has_no_stages_is_refused_with_the_reason() -> None:
    with pytest.raises(ModelError, match="cannot be taken apart"):
        build_encoder("tu-mixer_s32_224", 5)


def test_an_encoder_is_dilated_where_it_can_be() -> None:
    assert deepest_stride(build_encoder("tu-test_efficientnet", 5, output_stride=8)) == 8
    assert deepest_stride(build_encoder("resnet18", 5, output_stride=16)) == 16
    assert deepest_stride(build_encoder("tu-efficientvit_b0", 5, output_stride=16)) == 32
    assert deepest_stride(build_encoder("tu-test_efficientnet", 3, output_stride=16)) == 8


def test_options_reach_the_encoder_or_are_refused() -> None:
    plain = build_encoder("efficientvit_m0", 5)
    lean = build_encoder("efficientvit_m0", 5, options={"detail": False})
    assert len(lean.state_dict()) < len(plain.state_dict())
    with pytest.raises(ModelError, match="colour"):
        build_encoder("efficientvit_m0", 5, options={"colour": "blue"})
    with pytest.raises(ModelError, match="expected none"):
        build_encoder("resnet18", 5, options={"detail": True})
    with pytest.raises(ModelError, match="colour"):
        build_encoder("tu-test_efficientnet", 5, options={"colour": "blue"})
