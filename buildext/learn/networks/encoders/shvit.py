"""SHViT: single-head vision transformer with a memory-efficient macro design.

Yun and Ro, CVPR 2024, arXiv 2401.16456. The first stage, at stride 16, is convolutional; in the
later ones a block attends with a *single* head, on a part of the channels alone (32 to 96 of them),
over the whole map, and the other channels pass beside it. There are no windows and no positions:
any size works.

The body is timm's, with norms that an export can trace. Parameters and multiplications of the
classifiers agree with the paper's table, which counts S4 at 256 pixels and the others at 224.
"""

from __future__ import annotations

import torch
from timm.layers.norm import GroupNorm1
from torch import nn

from buildext.learn.networks.encoders.stem_taps import StemTapFamily, StemTapVariant

VARIANTS = {
    "shvit_s1": StemTapVariant((128, 224, 320)),
    "shvit_s2": StemTapVariant((128, 308, 448)),
    "shvit_s3": StemTapVariant((192, 352, 448)),
    "shvit_s4": StemTapVariant((224, 336, 448)),
}


class TraceableNorm(GroupNorm1):
    """timm's norm over all channels and positions of one image.

    torch's wrapper of the operator first asks in Python whether a group has a single value; a
    tracer would freeze the answer, and warns.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C, H, W)`."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def make_traceable(model: nn.Module) -> nn.Module:
    """Replace the norms of timm's `model`, in place; weights and their keys stay."""
    for module in model.modules():
        if isinstance(module, GroupNorm1):
            module.__class__ = TraceableNorm
    return model


FAMILY = StemTapFamily(VARIANTS, make_traceable)
build, classifier = FAMILY.build, FAMILY.classifier
