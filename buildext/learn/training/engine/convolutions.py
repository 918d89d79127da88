"""Convolutions that processors learn slowly or wrongly, computed in another way.

- **Depthwise ones with strides, or with kernels over 3 × 3, in bfloat16**: oneDNN has no fast
  gradient for them; at stride 2 it takes 6 times as long as the float32 one, and the few of them
  that a MobileNet has take a third to a half of a training step. They are computed in float32. See
  docs/training.md for the figures.
- **1 × 1 with a stride, channels last, on fewer channels than oneDNN's block of 16**: the gradient
  of the weights writes past a buffer, which gives wrong gradients or ends the process
  (github.com/uxlfoundation/oneDNN/issues/6035; MobileOne's stem is such a one). A 1 × 1 convolution
  with a stride is one without, on every n-th pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FAST_KERNEL_PX = 3
BLOCK_CHANNELS = 16

Pair = int | tuple[int, ...]


class ProcessorConvolutions(TorchFunctionMode):
    """Within it, `conv2d` on a processor is computed in the way that is learned right and fast.

    The answer has the precision that autocast would have given it. Nothing changes on other
    devices or where no gradient is wanted: forwards everything is right, and bfloat16 no slower.
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
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> torch.Tensor:
    """`conv2d` with its own arguments."""
    strides = (stride, stride) if isinstance(stride, int) else stride
    if image.device.type == "cpu" and torch.is_grad_enabled():
        if _overruns(weight, strides, padding, groups):
            image, stride = image[..., :: strides[0], :: strides[-1]], 1
        elif torch.is_autocast_enabled("cpu") and _is_slow(weight, strides):
            with torch.autocast("cpu", enabled=False):
                wide = None if bias is None else bias.float()
                whole = image.float(), weight.float(), wide
                answer = torch.conv2d(*whole, stride, padding, dilation, groups)
            return answer.to(torch.get_autocast_dtype("cpu"))
    return torch.conv2d(image, weight, bias, stride, padding, dilation, groups)


def _overruns(
    weight: torch.Tensor, strides: tuple[int, ...], padding: Pair | str, groups: int
) -> bool:
    """Whether oneDNN would write past its buffer."""
    pointwise = tuple(weight.shape[2:]) == (1, 1) and padding in (0, (0, 0), "valid")
    return pointwise and groups == 1 and max(strides) > 1 and weight.shape[1] < BLOCK_CHANNELS


def _is_slow(weight: torch.Tensor, strides: tuple[int, ...]) -> bool:
    """Whether it is depthwise, or nearly, and neither 3 × 3 nor pointwise with stride 1."""
    strided_or_wide = max(strides) > 1 or max(weight.shape[2:]) > FAST_KERNEL_PX
    return weight.shape[1] <= 2 and strided_or_wide
