"""Searched encoders: hierarchical stages put together from the blocks of the other families.

What `buildext search` finds is an encoder of this file. Its plan (see `searched_plan`) stands in
the `encoder_options` of the network spec, so a found network is a spec like any other: it trains,
is exported and quantised, and its model card says the whole of it. Without options, `searched` is
the plan of `VARIANTS`, drawn by hand to have something to compare with.

    image → two convolutions (strides 2 and 4) → condense → stage 1 … stage 4 → maps

| kind | block | from |
|---|---|---|
| `mbconv` | inverted bottleneck of ratio 4, 3 × 3 | MobileNetV2 (arXiv 1801.04381), timm's |
| `mask` | attention inside mask units of 32 × 32 px | `hiera`, as in TurboViT |
| `global` | attention over the whole map | `hiera`, as in TurboViT |
| `mod` | modulation; its widening alternates between 1 and 6 | `efficientmod` |
| `cga` | cascaded group attention in windows of 7 × 7 | `efficientvit_m` |
| `single` | attention of one head on a part of the channels | `shvit` |

A stage begins with a 3 × 3 convolution of stride 2, or, where it attends, with Q-pooling in its
first block; that block then attends as its place before the pooling would (mask units, or all).
Hiera's blocks know no places. Where they stand, a depthwise 3 × 3 convolution beside a shortcut
tells them (conditional positional encodings, Chu et al. 2021, arXiv 2102.10882): unlike a table it
has no size of its own and next to no parameters.
"""

from __future__ import annotations

import torch
from timm.models._efficientnet_blocks import InvertedResidual
from timm.models.efficientvit_msra import EfficientVitBlock
from timm.models.shvit import BasicBlock
from torch import nn

from buildext.learn.networks.encoders import hiera, shvit
from buildext.learn.networks.encoders.choice import check_depth, check_options, pick
from buildext.learn.networks.encoders.efficientmod import Modulation
from buildext.learn.networks.encoders.efficientvit_m import free_size
from buildext.learn.networks.encoders.searched_plan import (
    ATTENDING,
    SearchedPlan,
    StagePlan,
    option_names,
    parse_plan,
)

HEAD_PREFIXES: tuple[str, ...] = ()
EXPANSION = 4
WIDENING = 6
LEAST_HEAD_CHANNELS = 32
# Of EfficientViT-M: windows, channels of a key, and the kernels on the queries, head by head.
CGA_WINDOW, CGA_KEY, CGA_KERNELS = 7, 16, (7, 5, 3, 3)
# Of SHViT: channels of a key, and the share of the channels that attends (S1: 48 of 224).
SINGLE_KEY, SINGLE_SHARE, SINGLE_STEP = 16, 3 / 14, 4
CHANNELS_LAST = ("mask", "global", "mod")

VARIANTS = {
    "searched": SearchedPlan(
        16,
        32,
        (
            StagePlan("mbconv", 32, 1),
            StagePlan("mbconv", 64, 2),
            StagePlan("single", 128, 4),
            StagePlan("global", 192, 1),
        ),
    ),
}


def heads_of(width: int, most: int = 64) -> int:
    """The most heads that share `width` evenly and have at least 32 channels each; at least one."""
    counts = range(min(most, width // LEAST_HEAD_CHANNELS), 1, -1)
    return next((count for count in counts if width % count == 0), 1)


def make_block(
    kind: str, index: int, width_in: int, width: int, level: int, pool: bool
) -> nn.Module:
    """One block.

    Args:
        kind: of the block, see the module's table.
        index: of the block in its stage.
        width_in: channels that come in; others than `width` in a pooling block only.
        width: channels that go out.
        level: where it attends: 0 at stride 4, 1 at stride 8, and so on.
        pool: whether it pools its queries.

    Returns:
        A module from `(N, H, W, C)` for kinds in `CHANNELS_LAST`, from `(N, C, H, W)` for others.
    """
    if kind in ATTENDING:
        masked = level < 2 and (kind == "mask" or pool)
        window = hiera.MASK_UNIT >> level if masked else 0
        return hiera.Block(width_in, width, heads_of(width), window, pool, 0.0)
    if kind == "mod":
        return Modulation(width, WIDENING if index % 2 else 1, 0.0)
    if kind == "mbconv":
        block: nn.Module = InvertedResidual(width, width, 3, exp_ratio=EXPANSION)
        return block
    if kind == "cga":
        heads = next(count for count in (4, 3, 2, 1) if width % count == 0)
        # The ratio by which a head's values are as many as its share of the channels.
        ratio = width / heads / CGA_KEY
        block = EfficientVitBlock(
            width,
            CGA_KEY,
            heads,
            attn_ratio=ratio,  # type: ignore[arg-type]
            resolution=2 * CGA_WINDOW,
            window_resolution=CGA_WINDOW,
            kernels=list(CGA_KERNELS[:heads]),
        )
        return free_size(block)
    attending = max(SINGLE_STEP, round(width * SINGLE_SHARE / SINGLE_STEP) * SINGLE_STEP)
    return shvit.make_traceable(BasicBlock(width, SINGLE_KEY, attending, "s"))


class Position(nn.Module):
    """Where things are, for blocks that do not know: a depthwise convolution beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        out: torch.Tensor = x + self.conv(x)
        return out


class Stage(nn.Module):
    """A map is halved, unless the stage is the first, and goes through the blocks.

    Args:
        plan: of the stage.
        width_in: channels that come in.
        number: of the stage, from 1.
    """

    def __init__(self, plan: StagePlan, width_in: int, number: int) -> None:
        super().__init__()
        pooled, first = plan.pooled, number == 1
        self.kind, self.pooled, self.first = plan.kind, pooled, first
        self.shrink: nn.Module = nn.Identity()
        if not pooled and (not first or width_in != plan.width):
            # In the first stage nothing is halved: the embedding is condensed to its width.
            self.shrink = conv_norm(width_in, plan.width, 1 if first else 3, 1 if first else 2)
        entering = width_in if pooled else plan.width
        self.position = Position(entering) if plan.kind in ATTENDING else nn.Identity()
        self.channels_last = plan.kind in CHANNELS_LAST
        blocks = []
        for index in range(plan.blocks):
            pool = pooled and index == 0
            level = number - 2 if pool else number - 1
            width_before = entering if index == 0 else plan.width
            blocks.append(make_block(plan.kind, index, width_before, plan.width, level, pool))
        self.blocks = nn.Sequential(*blocks)
        if self.channels_last:
            self._initialise()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, K, H, W)` to `(N, C, H', W')`."""
        x = self.position(self.shrink(x))
        if not self.channels_last:
            out: torch.Tensor = self.blocks(x)
            return out
        last: torch.Tensor = self.blocks(x.permute(0, 2, 3, 1))
        return last.permute(0, 3, 1, 2)

    def _initialise(self) -> None:
        """Normal weights of 0.02 and no bias, as Hiera and EfficientMod begin."""
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)


def conv_norm(width_in: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    """A convolution and batch normalisation, which is folded into it when the network runs."""
    conv = nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


class SearchedEncoder(nn.Module):
    """An image to maps of strides 2, 4, 8, 16 and, at depth 5, 32.

    Args:
        plan: what it is made of.
    """

    def __init__(self, plan: SearchedPlan) -> None:
        super().__init__()
        self.out_channels = [3, plan.half, *(stage.width for stage in plan.stages)]
        self.output_stride = self.stride_divisor = 2**plan.depth
        if any(stage.kind == "mask" or stage.pooled for stage in plan.stages):
            # Images are whole numbers of mask units.
            self.stride_divisor = max(self.stride_divisor, hiera.MASK_UNIT * hiera.PATCH_PX)
        self.stem2 = nn.Sequential(*conv_norm(3, plan.half, 3, 2), nn.ReLU())
        self.stem4 = nn.Sequential(*conv_norm(plan.half, plan.embed, 3, 2), nn.ReLU())
        self.stages = nn.ModuleList()
        width = plan.embed
        for number, stage in enumerate(plan.stages, start=1):
            self.stages.append(Stage(stage, width, number))
            width = stage.width

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Normalised images `(N, 3, H, W)`, sides multiples of `stride_divisor`, to all maps."""
        maps = [images, self.stem2(images)]
        x = self.stem4(maps[-1])
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def build(name: str, depth: int = 5, **options: str) -> SearchedEncoder:
    """The encoder `name` with random weights; options are a whole plan, or none.

    Raises:
        ModelError: the name, the depth or an option is unknown, or a stage cannot be built.
    """
    plan = pick(VARIANTS, name)
    check_depth(depth)
    check_options(name, options, option_names(depth))
    if options:
        return SearchedEncoder(parse_plan(options, depth))
    return SearchedEncoder(SearchedPlan(plan.half, plan.embed, plan.stages[: depth - 1]))
