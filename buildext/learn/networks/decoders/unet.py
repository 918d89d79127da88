"""The U-Net decoder (Ronneberger et al. 2015): double the map, append the skip, convolve twice.

Doubling is by nearest neighbour with a constant factor, so that the exported graph holds plain
resize nodes and no shape arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


def conv_bn_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 3x3 convolution without bias, batch normalisation and ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_uniform_(conv.weight, mode="fan_in", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class UnetBlock(nn.Module):
    """One doubling of the resolution."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = conv_bn_relu(in_channels + skip_channels, out_channels)
        self.conv2 = conv_bn_relu(out_channels, out_channels)

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        """`(N, C, H, W)` and a skip `(N, S, 2H, 2W)` to `(N, K, 2H, 2W)`."""
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        result: torch.Tensor = self.conv2(self.conv1(x))
        return result


class UnetDecoder(nn.Module):
    """A chain of `UnetBlock`s, deepest first.

    Args:
        encoder_channels: widths of the encoder's maps at strides 1, 2, 4 ..., the image first; 0
            for an absent one.
        decoder_channels: width of each block; as many blocks as doublings.
    """

    def __init__(self, encoder_channels: Sequence[int], decoder_channels: Sequence[int]) -> None:
        super().__init__()
        deepest, *skips = reversed(encoder_channels[1:])
        skips += [0] * (len(decoder_channels) - len(skips))
        widths = [deepest, *decoder_channels]
        self.blocks = nn.ModuleList(
            UnetBlock(widths[i], skips[i], widths[i + 1]) for i in range(len(decoder_channels))
        )

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Encoder maps at strides 1, 2, 4 ... to the last block's map."""
        x, *skips = reversed(features[1:])
        for i, block in enumerate(self.blocks):
            x = block(x, skips[i] if i < len(skips) else None)
        return x
