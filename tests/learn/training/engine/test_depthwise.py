"""The faster precision changes nothing but the rounding, and only where it is meant to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from buildext.learn.training.engine.depthwise import FastDepthwise

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
            with FastDepthwise():
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
    with FastDepthwise():
        assert torch.equal(layer(image), F.conv2d(image, layer.weight, layer.bias, 2, 1, 1, 16))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            inside = layer(image)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(inside, layer(image))


def test_arguments_may_be_named() -> None:
    layer = convolution(SLOW[0])
    image = torch.rand(1, 16, 12, 12)
    with torch.autocast("cpu", torch.bfloat16), FastDepthwise():
        named = F.conv2d(
            image, weight=layer.weight, bias=layer.bias, stride=2, padding=1, groups=16
        )
        assert torch.equal(named, layer(image))
