"""Stem taps: maps at strides 2, 4 and 8 for networks whose first stage is at stride 16.

EfficientViT-M and SHViT save their time at the very beginning: a stem of four 3 × 3 convolutions of
stride 2 takes the image to stride 16 at once, and stages at strides 16, 32 and 64 do the work. A
decoder wants the finer maps too. They exist, as the activations between the stem's convolutions;
an encoder of this file hands them out:

    stride   2         4         8         16       32             64
    map      stem 1    stem 2    stem 3    stage 1  stage 2        stage 3

- **detail**: the taps are one convolution deep each, so a small branch of depthwise-separable
  convolutions (Howard et al. 2017, arXiv 1704.04861) runs beside the body at strides 4 and 8, and
  its maps are added to the taps. It costs 4 to 8 % of the body's multiplications.
- **deep**: outlines need no map at stride 64, but the stage there sees the farthest, and a
  pretrained network keeps 58 to 74 % of its weights in it (and 18 to 39 % of its multiplications).
  Its map is doubled and appended to that of stride 32: no map has a stride above 32, and images
  need be multiples of 32 only, because the stage takes a map of `n` rows to `ceil(n / 2)` and the
  doubled map is cut to `n`. Without `deep` the stage is not built: that is the small, cheap
  network. An encoder of depth 4 ends at stage 1, whatever `deep` says.

The body is timm's, in the attribute `model`, so that timm's pretrained files load strictly; what
such a file holds beyond the body begins with one of `unused_prefixes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import timm
import torch
import torch.nn.functional as F
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.encoders.choice import check_options, pick

OPTIONS = ("deep", "detail")
HEAD_PREFIXES = ("head.",)
STAGES = 3
DEPTHS = (4, 5)


@dataclass(frozen=True, slots=True)
class StemTapVariant:
    """One size of a family with a stem of stride 16.

    Attributes:
        widths: of the stages at strides 16, 32 and 64. The stem's maps have an eighth, a quarter
            and a half of the first one.
    """

    widths: tuple[int, int, int]


def separable(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A depthwise 3 × 3 and a pointwise convolution, each with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class DetailBranch(nn.Module):
    """Two separable convolutions at stride 4, two more at stride 8, added to the taps there."""

    def __init__(self, quarter_channels: int, eighth_channels: int) -> None:
        super().__init__()
        self.quarter = nn.Sequential(
            separable(quarter_channels, quarter_channels),
            separable(quarter_channels, quarter_channels),
        )
        self.eighth = nn.Sequential(
            separable(quarter_channels, eighth_channels, stride=2),
            separable(eighth_channels, eighth_channels),
        )

    def forward(
        self, quarter: torch.Tensor, eighth: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Taps `(N, C, H/4, W/4)` and `(N, K, H/8, W/8)` to maps of the same shapes."""
        fine = self.quarter(quarter)
        return quarter + fine, eighth + self.eighth(fine)


class StemTapEncoder(nn.Module):
    """The taps of the stem, then the stages.

    Args:
        model: timm's network without its head; `patch_embed` is the stem, a sequence with a ReLU
            behind each of its first three convolutions, and `stages` are the three stages. Stages
            that are not used are taken out.
        variant: the widths.
        depth: 4 or 5 halvings.
        deep: whether the stage at stride 64 is kept.
        detail: whether the detail branch is built.

    Raises:
        ModelError: the depth is not 4 or 5.
    """

    def __init__(
        self,
        model: nn.Module,
        variant: StemTapVariant,
        depth: int,
        deep: bool = True,
        detail: bool = True,
    ) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise ModelError(
                f"got the encoder depth {depth}; expected 4 or 5: the first stage of this "
                "network is at stride 16, a shallower encoder would be its stem alone",
                hint="change the depth, or choose an encoder with stages at stride 8",
            )
        assert isinstance(model.stages, nn.Sequential)
        self.deep = deep and depth == 5
        kept = depth - 3 + self.deep
        model.stages = model.stages[:kept]
        # timm's list of its own maps, which are not these.
        del model.feature_info
        self.model = model
        stage16, stage32, stage64 = variant.widths
        stem = [stage16 // 8, stage16 // 4, stage16 // 2]
        self.detail = DetailBranch(stem[1], stem[2]) if detail else None
        deepest = stage32 + stage64 if self.deep else stage32
        self.out_channels = [3, *stem, stage16, deepest][: depth + 1]
        self.output_stride = self.stride_divisor = 2**depth
        dropped = tuple(f"stages.{stage}." for stage in range(kept, STAGES))
        self.unused_prefixes = (*HEAD_PREFIXES, *dropped)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Normalised images `(N, 3, H, W)`, sides multiples of `stride_divisor`, to all maps."""
        stem, stages = self.model.patch_embed, self.model.stages
        assert isinstance(stem, nn.Sequential) and isinstance(stages, nn.Sequential)
        maps = [images]
        x = images
        for layer in stem:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                maps.append(x)
        if self.detail is not None:
            maps[2], maps[3] = self.detail(maps[2], maps[3])
        for stage in stages:
            x = stage(x)
            maps.append(x)
        if self.deep:
            farthest = maps.pop()
            maps[-1] = append_doubled(maps[-1], farthest)
        return maps


def append_doubled(x: torch.Tensor, farther: torch.Tensor) -> torch.Tensor:
    """`(N, C, H, W)` and `(N, K, ceil(H/2), ceil(W/2))` to `(N, C + K, H, W)`."""
    height, width = x.shape[-2:]
    doubled = F.interpolate(farther, scale_factor=2.0, mode="nearest")
    return torch.cat([x, doubled[:, :, :height, :width]], dim=1)


@dataclass(frozen=True, slots=True)
class StemTapFamily:
    """The sizes of a family with a stem of stride 16, built around timm's networks.

    Attributes:
        variants: by timm's name.
        adapt: what has to change in timm's network, in place; weights and their keys stay.
        options: names of the encoders' options.
    """

    variants: Mapping[str, StemTapVariant]
    adapt: Callable[[nn.Module], nn.Module]
    options: tuple[str, ...] = OPTIONS

    def build(self, name: str, depth: int = 5, **options: bool) -> StemTapEncoder:
        """The encoder `name` with random weights; options are `deep` and `detail`.

        Raises:
            ModelError: the name, the depth or an option is unknown.
        """
        variant = pick(self.variants, name)
        check_options(name, options, self.options)
        model = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
        return StemTapEncoder(self.adapt(model), variant, depth, **options)

    def classifier(self, name: str) -> nn.Module:
        """The ImageNet classifier whose body is the encoder `name`.

        Raises:
            ModelError: the name is unknown.
        """
        pick(self.variants, name)
        return self.adapt(timm.create_model(name, pretrained=False))
