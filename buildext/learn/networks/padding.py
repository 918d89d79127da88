"""TensorFlow's "SAME" padding without asking for the size of the image.

Encoders trained in TensorFlow pad a stride-2 convolution by an amount that depends on the size of
its input: for an even size the whole padding is `k - 2` pixels, `(k - 2) // 2` of them before and
the rest after (an odd size would take `k - 1`). Every map in front of a stride-2 convolution is
even here, since images come in multiples of the stride divisor. The amount is therefore a
constant, and the exported graph needs no shape arithmetic.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import nn


class EvenSameConv2d(nn.Conv2d):
    """A stride-2 "SAME" convolution of maps with even height and width."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve `(N, C, H, W)` into `(N, K, H/2, W/2)`."""
        total_y, total_x = self.kernel_size[0] - 2, self.kernel_size[1] - 2
        before_y, before_x = total_y // 2, total_x // 2
        x = F.pad(x, (before_x, total_x - before_x, before_y, total_y - before_y))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def fix_same_padding(network: nn.Module) -> None:
    """Turn every stride-2 `Conv2dSame` below `network` into an `EvenSameConv2d`, in place.

    The class alone changes: weights, keys of the state dict and results stay as they are.
    """
    for module in network.modules():
        if isinstance(module, Conv2dSame) and module.stride == (2, 2):
            module.__class__ = EvenSameConv2d  # type: ignore[assignment]
