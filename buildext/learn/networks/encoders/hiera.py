"""Hiera: a hierarchical vision transformer without the bells and whistles.

Ryali et al. 2023, arXiv 2306.00989. Patches of 4 × 4 pixels become tokens, and four stages of plain
transformer blocks work on them. Two things make it cheap:

- **Mask-unit attention.** In the first stages a token sees the tokens of its *mask unit* alone, a
  square of 32 × 32 pixels: 8 × 8 tokens in stage 1, 4 × 4 in stage 2. There is no shifting and no
  padding: an image whose sides are multiples of 32 is a whole number of mask units, at any size.
  Stages 3 and 4 attend globally.
- **Q-pooling.** The first block of each later stage pools its queries, not its keys and values, by
  the maximum of 2 × 2 tokens: the map shrinks inside the attention. That block still attends as
  the stage before did.

The width grows in the same block: the shortcut then runs through a linear layer and the same
pooling.

Modules are named as in timm, so pretrained files of timm load strictly. timm fixes the image size
at build time and unrolls the tokens into window order; here maps keep their rows and columns, and
the position table is taken to the size at hand by `position.window_aligned`. At 224 × 224 pixels
the maps are timm's.

There is no map at half the image's size: it has 0 channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import nn

from buildext.learn.networks.encoders.family import Family
from buildext.learn.networks.encoders.position import window_aligned

OPTIONS = ("drop_path",)
HEAD_PREFIXES = ("head.",)
PATCH_PX = 4
TABLE_SIDE = 56
MASK_UNIT = 8
EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class HieraVariant:
    """One size of the family.

    Attributes:
        embed: width of the patch embedding.
        widths: of the four stages.
        heads: attention heads of the four stages.
        blocks: number of blocks of the four stages.
    """

    embed: int
    widths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]


_WIDTHS = (96, 192, 384, 768)
_HEADS = (1, 2, 4, 8)

VARIANTS = {
    "hiera_tiny": HieraVariant(96, _WIDTHS, _HEADS, (1, 2, 7, 2)),
    "hiera_small": HieraVariant(96, _WIDTHS, _HEADS, (1, 2, 11, 2)),
    "hiera_base": HieraVariant(96, _WIDTHS, _HEADS, (2, 3, 16, 3)),
}


def halve(x: torch.Tensor) -> torch.Tensor:
    """The maximum of each 2 × 2 tokens: `(N, H, W, C)` to `(N, H/2, W/2, C)`."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).amax(dim=(2, 4))


class WindowAttention(nn.Module):
    """Self-attention inside square windows, or over the whole map; queries may be pooled.

    Args:
        dim: channels that come in.
        dim_out: channels that go out.
        heads: number of attention heads.
        window: side of a window in tokens, before pooling; 0 is the whole map.
        pool: whether the queries are pooled by 2 × 2.
    """

    def __init__(self, dim: int, dim_out: int, heads: int, window: int, pool: bool) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.pool = pool
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, H, W, dim)` to `(N, H', W', dim_out)`, halved where queries are pooled."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        window = self.window
        if self.pool:
            q, window = halve(q), window // 2
        _, height, width, channels = q.shape
        out = F.scaled_dot_product_attention(
            self._tokens(q, window), self._tokens(k, self.window), self._tokens(v, self.window)
        )
        out = out.transpose(1, 2)
        if window:
            out = out.reshape(-1, height // window, width // window, window, window, channels)
            out = out.transpose(2, 3)
        projected: torch.Tensor = self.proj(out.reshape(-1, height, width, channels))
        return projected

    def _tokens(self, x: torch.Tensor, window: int) -> torch.Tensor:
        """`(N, H, W, C)` to `(N * windows, heads, tokens, C / heads)`."""
        n, height, width, channels = x.shape
        if window:
            x = x.reshape(n, height // window, window, width // window, window, channels)
            x = x.transpose(2, 3).reshape(-1, window * window, self.heads, channels // self.heads)
        else:
            x = x.reshape(n, height * width, self.heads, channels // self.heads)
        return x.transpose(1, 2)


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm and beside a shortcut."""

    def __init__(
        self, dim: int, dim_out: int, heads: int, window: int, pool: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.pool = pool
        self.norm1 = nn.LayerNorm(dim, EPSILON)
        self.proj = nn.Linear(dim, dim_out) if dim != dim_out else None
        self.attn = WindowAttention(dim, dim_out, heads, window, pool)
        self.norm2 = nn.LayerNorm(dim_out, EPSILON)
        self.mlp = Mlp(dim_out, 4 * dim_out)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, H, W, dim)` to `(N, H', W', dim_out)`."""
        normed = self.norm1(x)
        if self.proj is not None:
            x = self.proj(normed)
        if self.pool:
            x = halve(x)
        x = x + self.drop_path(self.attn(normed))
        out: torch.Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class PatchEmbedding(nn.Module):
    """Overlapping patches of 7 × 7 pixels, one every 4 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 7, stride=PATCH_PX, padding=3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """`(N, 3, H, W)` to `(N, H/4, W/4, width)`."""
        x: torch.Tensor = self.proj(images)
        return x.permute(0, 2, 3, 1)


class Hiera(nn.Module):
    """The body: an image to maps of strides 4, 8, 16 and 32.

    Args:
        variant: the size.
        depth: number of halvings; 5 keeps all four stages.
        drop_path: the share of residual branches that training skips in the last block, growing
            linearly from 0 in the first.
    """

    def __init__(self, variant: HieraVariant, depth: int = 5, drop_path: float = 0.0) -> None:
        super().__init__()
        stages = depth - 1
        counts = variant.blocks[:stages]
        self.out_channels = [3, 0, *variant.widths[:stages]]
        self.output_stride = 2**depth
        self.stage_ends = tuple(sum(counts[: i + 1]) - 1 for i in range(stages))
        self.patch_embed = PatchEmbedding(variant.embed)
        self.pos_embed = nn.Parameter(torch.zeros(1, TABLE_SIDE * TABLE_SIDE, variant.embed))
        self.blocks = nn.ModuleList()
        dim, total = variant.embed, sum(variant.blocks)
        for stage, count in enumerate(counts):
            for index in range(count):
                pool = index == 0 and stage > 0
                attending = stage - 1 if pool else stage
                # Mask units are 8 × 8 tokens in stage 1, 4 × 4 in stage 2, then all is one.
                window = MASK_UNIT >> attending if attending < 2 else 0
                rate = drop_path * len(self.blocks) / (total - 1)
                self.blocks.append(
                    Block(dim, variant.widths[stage], variant.heads[stage], window, pool, rate)
                )
                dim = variant.widths[stage]
        self._initialise()

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Normalised images `(N, 3, H, W)`, sides multiples of 32, to `depth + 1` maps."""
        # A slice of no channels: the map at half size that this architecture does not have.
        maps = [images, images[:, :0, ::2, ::2]]
        x = self.patch_embed(images)
        _, height, width, _ = x.shape
        position = window_aligned(self.pos_embed, TABLE_SIDE, MASK_UNIT, height, width)
        x = x + position.to(x.dtype)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_ends:
                maps.append(x.permute(0, 3, 1, 2))
        return maps

    def _initialise(self) -> None:
        """Normal weights of 0.02; what ends a residual branch is smaller the deeper it stands."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            for number, block in enumerate(self.blocks, start=1):
                assert isinstance(block, Block)
                block.attn.proj.weight.div_(math.sqrt(2 * number))
                block.mlp.fc2.weight.div_(math.sqrt(2 * number))


class ClassifierHead(nn.Module):
    """Norm of the mean over the map, then one linear layer."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, EPSILON)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to logits `(N, classes)`."""
        logits: torch.Tensor = self.fc(self.norm(x.mean(dim=(2, 3))))
        return logits


class HieraClassifier(Hiera):
    """The whole ImageNet classifier, for counting and for timm's complete files."""

    def __init__(self, variant: HieraVariant, classes: int = 1000) -> None:
        super().__init__(variant)
        self.head = ClassifierHead(variant.widths[-1], classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`(N, 3, H, W)` to logits `(N, classes)`."""
        logits: torch.Tensor = self.head(super().forward(images)[-1])
        return logits


FAMILY = Family(VARIANTS, Hiera, HieraClassifier, OPTIONS)
build, classifier = FAMILY.build, FAMILY.classifier
