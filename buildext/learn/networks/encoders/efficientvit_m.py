"""EfficientViT-M: memory-efficient vision transformer with cascaded group attention.

Liu et al., CVPR 2023, arXiv 2305.07027. (Another network of the same name, EfficientViT-B/L, is
MIT's.) A block is a sandwich: a depthwise convolution and a perceptron, *one* attention, and again
a convolution and a perceptron. The attention works in windows of 7 × 7 positions, 4 × 4 at stride
64. Each head sees its own share of the channels, and the output of one head is added to the input
of the next: the cascade.

The body is timm's with two changes, neither of which touches a parameter's name, shape or value:

- Windows are cut by one rule for every size. timm skips it where the map is exactly one window; a
  branch on the size would be frozen into an exported graph.
- The relative positions are computed when they are needed. timm keeps the gathered biases of
  evaluation mode, which go stale when weights are loaded afterwards, and an integer table, which
  is no weight but would be exported as one.

A map that is not a whole number of windows is padded with zeros below and to the right, as in
timm. Parameters and multiplications of the classifiers agree with the paper's table.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.efficientvit_msra import CascadedGroupAttention, LocalWindowAttention
from torch import nn

from buildext.learn.networks.encoders.stem_taps import StemTapFamily, StemTapVariant

VARIANTS = {
    "efficientvit_m0": StemTapVariant((64, 128, 192)),
    "efficientvit_m1": StemTapVariant((128, 144, 192)),
    "efficientvit_m2": StemTapVariant((128, 192, 224)),
    "efficientvit_m3": StemTapVariant((128, 240, 320)),
    "efficientvit_m4": StemTapVariant((128, 256, 384)),
    "efficientvit_m5": StemTapVariant((192, 288, 384)),
}


class WindowAttention(LocalWindowAttention):
    """timm's attention in windows, for maps of any size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C, H, W)`."""
        side = self.attn.resolution
        _, channels, height, width = x.shape
        below, right = (side - height % side) % side, (side - width % side) % side
        x = F.pad(x, (0, right, 0, below))
        rows, columns = (height + below) // side, (width + right) // side
        x = x.reshape(-1, channels, rows, side, columns, side)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, side, side)
        x = self.attn(x).reshape(-1, rows, columns, channels, side, side)
        x = x.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, rows * side, columns * side)
        return x[:, :, :height, :width]


class GroupAttention(CascadedGroupAttention):
    """timm's cascaded group attention, which remembers nothing between calls."""

    def get_attention_biases(self, device: torch.device) -> torch.Tensor:
        """One bias a head and a pair of positions, `(heads, side², side²)`.

        The table has one entry for each distance in rows and in columns, row by row.
        """
        line = torch.arange(self.resolution, device=device)
        distance = (line[:, None] - line).abs()
        pairs = distance[:, None, :, None] * self.resolution + distance[None, :, None, :]
        positions = self.resolution**2
        return self.attention_biases[:, pairs.reshape(positions, positions)]


def free_size(model: nn.Module) -> nn.Module:
    """Replace the attention of timm's `model`, in place; weights and their keys stay."""
    for module in model.modules():
        if isinstance(module, LocalWindowAttention):
            module.__class__ = WindowAttention
        elif isinstance(module, CascadedGroupAttention):
            module.__class__ = GroupAttention
            del module.attention_bias_idxs
    return model


FAMILY = StemTapFamily(VARIANTS, free_size)
build, classifier = FAMILY.build, FAMILY.classifier
