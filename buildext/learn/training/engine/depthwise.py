"""Depthwise convolutions that processors learn slowly in bfloat16 are computed in float32.

oneDNN has no fast bfloat16 gradient for depthwise convolutions with strides or with kernels over
3 × 3: at stride 2 it takes 6 times as long as the float32 one, and the few of them that a MobileNet
has take a third to a half of a training step. See docs/training.md for the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FAST_KERNEL_PX = 3


class FastDepthwise(TorchFunctionMode):
    """Within it, `conv2d` under the processor's autocast takes the faster of both precisions.

    The answer has the precision that autocast would have given it. Nothing changes on other
    devices, without autocast, or where no gradient is wanted: forwards bfloat16 is no slower.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        convolve = _convolve if func is torch.conv2d else func
        return convolve(*args, **(kwargs or {}))


def _convolve(
    image: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    *rest: Any,
    **named: Any,
) -> torch.Tensor:
    """`conv2d` with its own arguments."""
    low = torch.is_autocast_enabled("cpu") and image.device.type == "cpu"
    if not (low and torch.is_grad_enabled() and _is_slow(weight, stride)):
        return torch.conv2d(image, weight, bias, stride, *rest, **named)
    with torch.autocast("cpu", enabled=False):
        wide = None if bias is None else bias.float()
        answer = torch.conv2d(image.float(), weight.float(), wide, stride, *rest, **named)
        return answer.to(torch.get_autocast_dtype("cpu"))


def _is_slow(weight: torch.Tensor, stride: int | tuple[int, ...]) -> bool:
    """Whether it is depthwise, or nearly, and neither 3 × 3 nor pointwise with stride 1."""
    strides = (stride,) if isinstance(stride, int) else stride
    strided_or_wide = max(strides) > 1 or max(weight.shape[2:]) > FAST_KERNEL_PX
    return weight.shape[1] <= 2 and strided_or_wide
