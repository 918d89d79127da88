"""Heads: from the decoder's map to one logit map per output channel, at the image's size.

`ConvHead` convolves the decoder's map to logits and enlarges these bilinearly by the stride that
the decoder ended at. `SubpixelHead` convolves it into `stride²` times as many channels and
rearranges each group into a block of pixels (efficient sub-pixel convolution, Shi et al., CVPR
2016): every pixel gets weights of its own, and still no layer runs at full resolution with many
channels, which is where a U-Net spends a large part of its time.
"""

from __future__ import annotations

import torch
from torch import nn

from buildext.models.card import OFFSET_CHANNELS

# One unit of a head's answer about a step is this much of a logit. A logit covers half of the range
# that the step is told in, 150 m of 300; steps are some 10 m, and answers learn best near 1.
OFFSET_GAIN = 1 / 16


class ConvHead(nn.Sequential):
    """A 3x3 convolution and bilinear enlargement: `(N, C, H, W)` to logits `(N, K, sH, sW)`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, 3, padding=1))
        if stride > 1:
            self.append(nn.Upsample(scale_factor=float(stride), mode="bilinear"))


class SubpixelHead(nn.Sequential):
    """A 3x3 convolution and a pixel shuffle: `(N, C, H, W)` to logits `(N, K, sH, sW)`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2) -> None:
        pixels = stride**2
        conv = nn.Conv2d(in_channels, pixels * out_channels, 3, padding=1)
        # The pixels of a block start equal, so that the head starts without a checkerboard
        # (Aitken et al. 2017).
        with torch.no_grad():
            conv.weight.copy_(conv.weight[::pixels].repeat_interleave(pixels, dim=0))
            if conv.bias is not None:
                conv.bias.zero_()
        super().__init__(conv, nn.PixelShuffle(stride))


class OffsetGain(nn.Module):
    """Scales the answers about the step from roof to footprint down to logits, `(N, K, H, W)`.

    Args:
        channels: names of the output channels; those of the step are scaled by `OFFSET_GAIN`.
    """

    gain: torch.Tensor

    def __init__(self, channels: tuple[str, ...]) -> None:
        super().__init__()
        gain = [OFFSET_GAIN if name in OFFSET_CHANNELS else 1.0 for name in channels]
        self.register_buffer("gain", torch.tensor(gain).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, answers: torch.Tensor) -> torch.Tensor:
        """Logits of the head's answers, same shape."""
        return answers * self.gain
