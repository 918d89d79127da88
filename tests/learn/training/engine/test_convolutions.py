"""Another way of computing changes nothing but the rounding, and only where it is meant to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from buildext.learn.training.engine.convolutions import ProcessorConvolutions

# in, out, kernel, stride, groups
SLOW = [(16, 16, 3, 2, 16), (16, 16, 5, 1, 16), (16, 32, 3, 2, 16), (16, 16, 3, 2, 8)]
AS_THEY_ARE = [(16, 16, 3, 1, 16), (16, 32, 3, 2, 1), (16, 16, 3, 2, 2), (16, 8, 1, 2, 1)]


def convolution(shape: tuple[int, int, int, int, int], bias: bool = True) -> nn.Conv2d:
    torch.manual_seed(0)
    of, to, kernel, stride, groups = shape
    return nn.Conv2d(of, to, kernel, stride, kernel // 2, groups=groups, bias=bias)


def learn(layer: nn.Conv2d, fast: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The answer under autocast, and the gradients of image and weights."""
    image = torch.linspace(-1, 1, 2 * 16 * 12 * 12).reshape(2, 16, 12, 12).requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        if fast:
            with ProcessorConvolutions():
                answer = layer(image)
        else:
            answer = layer(image)
    answer.float().square().sum().backward()
    assert image.grad is not None
    assert layer.weight.grad is not None
    return answer.detach(), image.grad, layer.weight.grad.clone()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SLOW)
def test_slow_ones_are_float32_rounded_once(
    shape: tuple[int, int, int, int, int], bias: bool
) -> None:
    layer = convolution(shape, bias)
    answer, of_image, of_weight = learn(layer, fast=True)
    image = torch.linspace(-1, 1, 2 * 16 * 12 * 12).reshape(2, 16, 12, 12).requires_grad_()
    exact = layer(image)
    assert answer.dtype == torch.bfloat16
    assert torch.equal(answer, exact.bfloat16())
    layer.zero_grad()
    exact.square().sum().backward()
    assert image.grad is not None
    assert layer.weight.grad is not None
    for mine, truth in ((of_image, image.grad), (of_weight, layer.weight.grad)):
        assert (mine - truth).abs().max() < 0.01 * truth.abs().max()


@pytest.mark.parametrize("shape", AS_THEY_ARE)
def test_others_stay_as_they_are(shape: tuple[int, int, int, int, int]) -> None:
    layer = convolution(shape)
    for fast, plain in zip(learn(layer, fast=True), learn(layer, fast=False), strict=True):
        assert torch.equal(fast, plain)


def test_without_autocast_or_gradients_nothing_changes() -> None:
    layer = convolution(SLOW[0])
    image = torch.rand(1, 16, 12, 12)
    with ProcessorConvolutions():
        assert torch.equal(layer(image), F.conv2d(image, layer.weight, layer.bias, 2, 1, 1, 16))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            inside = layer(image)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(inside, layer(image))


def test_arguments_may_be_named() -> None:
    layer = convolution(SLOW[0])
    image = torch.rand(1, 16, 12, 12)
    with torch.autocast("cpu", torch.bfloat16), ProcessorConvolutions():
        named = F.conv2d(
            image, weight=layer.weight, bias=layer.bias, stride=2, padding=1, groups=16
        )
        assert torch.equal(named, layer(image))


@pytest.mark.parametrize("channels", [3, 15])
@pytest.mark.parametrize("low", [False, True])
def test_pointwise_with_a_stride_is_right(channels: int, low: bool) -> None:
    # Channels last, where oneDNN's own gradient of the weights writes past its buffer.
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, 48, 1, 2, bias=False).to(memory_format=torch.channels_last)
    image = torch.randn(8, channels, 63, 128).to(memory_format=torch.channels_last)
    image.requires_grad_()
    upstream = torch.randn(8, 48, 32, 64)
    with torch.autocast("cpu", torch.bfloat16, enabled=low), ProcessorConvolutions():
        answer = layer(image)
    answer.float().backward(upstream)
    assert answer.dtype == (torch.bfloat16 if low else torch.float32)
    kept = image.detach()[:, :, ::2, ::2]
    weight = layer.weight.detach()[:, :, 0, 0]
    of_kept = torch.einsum("nohw,oc->nchw", upstream, weight)
    assert image.grad is not None
    assert layer.weight.grad is not None
    for mine, truth in (
        (answer, torch.einsum("nchw,oc->nohw", kept, weight)),
        (layer.weight.grad[:, :, 0, 0], torch.einsum("nohw,nchw->oc", upstream, kept)),
        (image.grad[:, :, ::2, ::2], of_kept),
    ):
        assert (mine - truth).abs().max() < (0.02 if low else 1e-4) * truth.abs().max()
    assert not image.grad[:, :, 1::2].any()


def test_a_network_with_such_a_stem_learns() -> None:
    import timm

    network = timm.create_model("mobileone_s0", features_only=True, out_indices=(0, 1))
    network = network.to(memory_format=torch.channels_last).train()
    for _ in range(6):
        image = torch.rand(8, 3, 128, 128).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16), ProcessorConvolutions():
            maps = network(image)
        sum(each.float().mean() for each in maps).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
