"""Heads: from the last decoder map to one logit map per output channel.

`ConvHead` convolves a map that has the image's resolution. `SubpixelHead` convolves a map of half
that resolution into four times the channels and rearranges each group of four into a 2x2 pixel
block (efficient sub-pixel convolution, Shi et al., CVPR 2016). No layer then runs at full
resolution with many channels, which is where a U-Net spends a large part of its time.
"""

from __future__ import annotations

import torch
from torch import nn


class ConvHead(nn.Sequential):
    """A 3x3 convolution: `(N, C, H, W)` to logits `(N, K, H, W)`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, 3, padding=1))


class SubpixelHead(nn.Sequential):
    """A 3x3 convolution and a pixel shuffle: `(N, C, H, W)` to logits `(N, K, 2H, 2W)`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        conv = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1)
        # The four pixels of a block start equal, so that the head starts without a checkerboard
        # (Aitken et al. 2017).
        with torch.no_grad():
            conv.weight.copy_(conv.weight[::4].repeat_interleave(4, dim=0))
            if conv.bias is not None:
                conv.bias.zero_()
        super().__init__(conv, nn.PixelShuffle(2))
