"""The U-Net 3+ decoder (Huang et al., ICASSP 2020, arXiv 2004.08790): full-scale skip connections.

Where U-Net joins one finer map to each decoder stage, U-Net 3+ joins all of them: the stage at
stride `2^i` sees

- the encoder's finer maps, max-pooled to its size;
- the encoder's map of its own size;
- the decoder's coarser maps (the coarsest is the encoder's), enlarged bilinearly,

each brought to the same number of channels by a convolution of its own (64 in the paper), stacked
(320 for five stages) and fused by one more.

The paper's encoder has its first map at full resolution. Here the five maps are those at strides 2
to 32, so the last stage is at stride 2, or at the finest map that the encoder has; the head
enlarges it. Deep supervision and the classification-guided module are left out: they are losses on
side outputs, and every decoder is to be compared under the same loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from buildext.learn.networks.decoders.unet import conv_bn_relu


class FullScaleStage(nn.Module):
    """One decoder stage.

    Args:
        stage: its index; its stride is `2^(stage + 1)`.
        widths: of the maps it joins by their stage: finer and own ones from the encoder, coarser
            ones from the decoder.
        width: channels that each of them is brought to.
    """

    def __init__(self, stage: int, widths: dict[int, int], width: int) -> None:
        super().__init__()
        self.stage = stage
        self.sources = sorted(widths)
        self.branches = nn.ModuleList(conv_bn_relu(widths[k], width) for k in self.sources)
        self.fuse = conv_bn_relu(width * len(widths), width * len(widths))

    def forward(self, maps: dict[int, torch.Tensor]) -> torch.Tensor:
        """Maps by stage to this stage's map."""
        parts = []
        for source, branch in zip(self.sources, self.branches, strict=True):
            x = maps[source]
            if source < self.stage:
                x = F.max_pool2d(x, 2 ** (self.stage - source))
            elif source > self.stage:
                scale = float(2 ** (source - self.stage))
                x = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
            parts.append(branch(x))
        result: torch.Tensor = self.fuse(torch.cat(parts, dim=1))
        return result


class Unet3PlusDecoder(nn.Module):
    """All stages from the second deepest to the finest map that the encoder has.

    Args:
        encoder_channels: widths of the encoder's maps at strides 1, 2, 4 ..., 0 for an absent one.
        width: channels of each branch.

    Attributes:
        out_channels: of the last stage.
        out_stride: of the last stage.
    """

    def __init__(self, encoder_channels: Sequence[int], width: int) -> None:
        super().__init__()
        present = {k: c for k, c in enumerate(encoder_channels[1:]) if c}
        finest, deepest = min(present), max(present)
        fused = width * len(present)
        stages = []
        for stage in sorted(present, reverse=True)[1:]:
            coarser = {k: fused for k in present if stage < k < deepest}
            finer = {k: c for k, c in present.items() if k <= stage}
            stages.append(
                FullScaleStage(stage, {**finer, **coarser, deepest: present[deepest]}, width)
            )
        self.stages = nn.ModuleList(stages)
        self.out_channels = fused
        self.out_stride = 2 ** (finest + 1)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Encoder maps at strides 1, 2, 4 ... to the last stage's map."""
        maps = dict(enumerate(features[1:]))
        x = features[-1]
        for stage in self.stages:
            assert isinstance(stage, FullScaleStage)
            x = maps[stage.stage] = stage(maps)
        return x
