"""Every head and padding gives maps of the image's size."""

from __future__ import annotations

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame

from buildext.errors import ModelError
from buildext.learn.networks.build import build_network
from buildext.learn.networks.heads import OffsetGain, SubpixelHead
from buildext.learn.networks.padding import EvenSameConv2d
from buildext.models.card import NetworkSpec

CHANNELS = ("building", "contact")
FULL = NetworkSpec(encoder="tu-test_efficientnet", decoder_channels=(16, 16, 8, 8, 8), head="conv")


@pytest.mark.parametrize("height_px", [32, 96, 50])
@pytest.mark.parametrize("head", ["subpixel", "conv"])
def test_logits_have_the_images_size(tiny_spec: NetworkSpec, head: str, height_px: int) -> None:
    network = build_network(tiny_spec if head == "subpixel" else FULL, CHANNELS).eval()
    with torch.no_grad():
        logits = network(torch.randn(2, 3, height_px, 64))
    assert logits.shape == (2, 2, height_px, 64)


@pytest.mark.parametrize("kernel_px", [3, 5, 7])
def test_even_same_padding_equals_timms_on_even_maps(kernel_px: int) -> None:
    torch.manual_seed(0)
    conv = Conv2dSame(4, 6, kernel_px, stride=2, bias=False)
    images = torch.randn(1, 4, 32, 46)
    expected = conv(images)
    conv.__class__ = EvenSameConv2d
    torch.testing.assert_close(conv(images), expected)


def test_a_tensorflow_encoder_keeps_no_size_dependent_layer() -> None:
    spec = NetworkSpec(encoder="tu-tf_mobilenetv3_small_minimal_100")
    network = build_network(spec, CHANNELS)
    kinds = [type(module) for module in network.modules()]
    assert EvenSameConv2d in kinds
    assert Conv2dSame not in kinds


def test_the_subpixel_head_starts_without_a_checkerboard() -> None:
    torch.manual_seed(0)
    logits = SubpixelHead(8, 2)(torch.randn(1, 8, 10, 10))
    blocks = logits.reshape(1, 2, 10, 2, 10, 2)
    torch.testing.assert_close(blocks[:, :, :, 0, :, 0], blocks[:, :, :, 1, :, 1])


def test_an_unknown_encoder_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="did you mean tu-tf_efficientnetv2_b0"):
        build_network(NetworkSpec(encoder="tu-tf_eficientnetv2_b0"), CHANNELS)


def test_an_encoder_that_the_default_engine_gets_wrong_is_refused() -> None:
    with pytest.raises(ModelError, match="OpenVINO"):
        build_network(NetworkSpec(encoder="fastervit_0"), CHANNELS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decoder": "fcn"}, "the decoder 'fcn'; expected one of unet, unetplusplus"),
        ({"decoder": "fpn", "decoder_channels": (64, 40)}, "expected a multiple of 32"),
        ({"decoder": "linknet", "head": "subpixel", "decoder_channels": (8,)}, "expected 0"),
        ({"channels": ("building", "building")}, "output channels"),
        ({"decoder_channels": (8, 8)}, "got 2 decoder widths; expected 5"),
    ],
)
def test_a_spec_that_makes_no_network_is_refused(values: dict, message: str) -> None:
    channels = values.pop("channels", CHANNELS)
    with pytest.raises(ModelError, match=message):
        build_network(NetworkSpec(encoder="tu-test_efficientnet", **values), channels)


def test_answers_about_the_step_are_scaled_down_and_no_others() -> None:
    answers = torch.randn(2, 3, 4, 5)
    logits = OffsetGain(("building", "offset_x", "offset_y"))(answers)
    torch.testing.assert_close(logits[:, 0], answers[:, 0])
    torch.testing.assert_close(logits[:, 1:], answers[:, 1:] / 16)


@pytest.mark.parametrize("channels", [CHANNELS, ("building", "offset_x", "offset_y")])
def test_only_a_network_that_tells_the_step_has_a_gain(channels: tuple[str, ...]) -> None:
    network = build_network(FULL, channels)
    has_gain = any(isinstance(module, OffsetGain) for module in network.modules())
    assert has_gain == ("offset_x" in channels)


@pytest.mark.parametrize("decoder", ["pspnet", "deeplabv3plus"])
def test_a_detail_branch_that_the_decoder_does_not_read_is_left_out(decoder: str) -> None:
    network = build_network(NetworkSpec(encoder="shvit_s1", decoder=decoder), CHANNELS)
    assert not [name for name, _ in network.named_parameters() if ".detail." in name]
    asked = NetworkSpec(encoder="shvit_s1", decoder=decoder, encoder_options={"detail": True})
    with pytest.raises(ModelError, match="does not read"):
        build_network(asked, CHANNELS)


@pytest.mark.parametrize(
    ("encoder", "decoder", "reason"),
    [
        ("tu-hrnet_w18_small", "pspnet", "does not read all of the encoder's streams"),
        ("tu-hrnet_w18_small", "deeplabv3plus", "does not read all of the encoder's streams"),
        ("tu-fbnetv3_b", "pan", "OpenVINO"),
    ],
)
def test_a_pair_that_would_not_do_is_refused(encoder: str, decoder: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        build_network(NetworkSpec(encoder=encoder, decoder=decoder), CHANNELS)
