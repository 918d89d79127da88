"""What layers of the libraries need before they are traced into an ONNX graph.

A traced graph holds what was computed once, at one image size. A layer that decides by the size of
its input, or counts in plain numbers where it should count in tensors, would freeze that decision
and those numbers. Each change below swaps the class of a layer for one that computes the same for
every size; weights and keys of the state dict stay as they are.
"""

from __future__ import annotations

import torch
from timm.models.mobilevit import MobileVitBlock, MobileVitV2Block
from torch import nn

from buildext.learn.networks.padding import fix_same_padding
from buildext.learn.networks.robust import make_robust


class WholePatchBlock(MobileVitBlock):
    """MobileViT's block for maps that are whole numbers of patches.

    timm stretches other maps; here images come in multiples that leave none (`registry.PATCHED`).
    Pixels at the same place in their patches attend to each other.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        shortcut = x
        x = self.conv_1x1(self.conv_kxk(x))
        rows, columns = self.patch_size
        batch, channels, height, width = x.shape
        x = x.reshape(batch, channels, height // rows, rows, width // columns, columns)
        x = x.permute(0, 3, 5, 2, 4, 1).reshape(batch * self.patch_area, -1, channels)
        x = self.norm(self.transformer(x))
        x = x.reshape(batch, rows, columns, height // rows, width // columns, channels)
        x = x.permute(0, 5, 3, 1, 4, 2).reshape(batch, channels, height, width)
        x = self.conv_proj(x)
        if self.conv_fusion is not None:
            x = self.conv_fusion(torch.cat((shortcut, x), dim=1))
        return x


class WholePatchV2Block(MobileVitV2Block):
    """MobileViTv2's block for maps that are whole numbers of patches."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        x = self.conv_1x1(self.conv_kxk(x))
        rows, columns = self.patch_size
        batch, channels, height, width = x.shape
        x = x.reshape(batch, channels, height // rows, rows, width // columns, columns)
        x = x.permute(0, 1, 3, 5, 2, 4).reshape(batch, channels, self.patch_area, -1)
        x = self.norm(self.transformer(x))
        x = x.reshape(batch, channels, rows, columns, height // rows, width // columns)
        x = x.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels, height, width)
        result: torch.Tensor = self.conv_proj(x)
        return result


def make_exportable(network: nn.Module) -> None:
    """Make all layers below `network` fit for export, in place."""
    fix_same_padding(network)
    make_robust(network)
    for module in network.modules():
        if type(module) is MobileVitBlock:
            module.__class__ = WholePatchBlock
        elif type(module) is MobileVitV2Block:
            module.__class__ = WholePatchV2Block
