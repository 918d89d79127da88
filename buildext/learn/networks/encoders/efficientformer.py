"""EfficientFormer: pooling blocks, and attention only where the map is smallest.

Li et al. 2022, arXiv 2206.01191. A stem of two 3 × 3 convolutions of stride 2, then four stages at
strides 4, 8, 16 and 32. Nearly all blocks mix places by a mere 3 × 3 average; the last blocks of
the last stage attend globally, with a learnt bias for each offset between query and key. All that
a mobile processor does badly, reshaping in between above all, happens once.

timm's attention takes images of 224 × 224 pixels only: its table of biases is the 7 × 7 of that
map. Here the table stays a parameter of that size, and `position.relative_bias` takes it to the
map at hand. Modules are named as in timm, so timm's files load strictly once the keys ending in
`DERIVED_SUFFIXES` are dropped: an index of all pairs, which follows from the size. At 224 the maps
are timm's.

The map at half the image's size is the stem after its first convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.layers.layer_scale import LayerScale, LayerScale2d
from timm.layers.mlp import Mlp
from torch import nn

from buildext.learn.networks.encoders.family import Family
from buildext.learn.networks.encoders.position import relative_bias
from buildext.learn.networks.encoders.staged import StagedEncoder

OPTIONS = ("drop_path",)
HEAD_PREFIXES = ("norm.", "head.", "head_dist.")
DERIVED_SUFFIXES = ("attention_bias_idxs",)
TABLE_SIDE = 7
HEADS = 8
KEY_DIM = 32
VALUE_DIM = 128


@dataclass(frozen=True, slots=True)
class EfficientFormerVariant:
    """One size of the family.

    Attributes:
        widths: of the four stages.
        blocks: number of blocks of the four stages.
        attending: how many blocks at the end of the last stage attend.
    """

    widths: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    attending: int


VARIANTS = {
    "efficientformer_l1": EfficientFormerVariant((48, 96, 224, 448), (3, 2, 6, 4), 1),
    "efficientformer_l3": EfficientFormerVariant((64, 128, 320, 512), (4, 4, 12, 6), 4),
    "efficientformer_l7": EfficientFormerVariant((96, 192, 384, 768), (6, 6, 18, 8), 8),
}


class Stem(nn.Module):
    """Two convolutions of stride 2; the map between them is handed out as well."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1)
        self.norm1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width, 3, stride=2, padding=1)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(N, 3, H, W)` to maps of strides 2 and 4."""
        half = F.relu(self.norm1(self.conv1(images)))
        return half, F.relu(self.norm2(self.conv2(half)))


class Downsample(nn.Module):
    """A 3 × 3 convolution of stride 2 with its norm."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim_out, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, dim, H, W)` to `(N, dim_out, H/2, W/2)`."""
        out: torch.Tensor = self.norm(self.conv(x))
        return out


class Pooling(nn.Module):
    """What the 3 × 3 average differs by from the map itself (the mixer of PoolFormer)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False) - x


class ConvMlp(nn.Module):
    """A perceptron at each place, as 1 × 1 convolutions with norms."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, 4 * dim, 1)
        self.norm1 = nn.BatchNorm2d(4 * dim)
        self.fc2 = nn.Conv2d(4 * dim, dim, 1)
        self.norm2 = nn.BatchNorm2d(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        out: torch.Tensor = self.norm2(self.fc2(F.gelu(self.norm1(self.fc1(x)))))
        return out


class PoolBlock(nn.Module):
    """Pooling and a perceptron, each scaled and beside a shortcut."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.token_mixer = Pooling()
        self.ls1 = LayerScale2d(dim)
        self.mlp = ConvMlp(dim)
        self.ls2 = LayerScale2d(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        x = x + self.drop_path(self.ls1(self.token_mixer(x)))
        out: torch.Tensor = x + self.drop_path(self.ls2(self.mlp(x)))
        return out


class ChannelsLast(nn.Module):
    """`(N, C, H, W)` to `(N, H, W, C)`, in front of the attending blocks."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Move the channels to the end."""
        return x.permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Global attention with a bias for each offset between query and key."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, HEADS * (2 * KEY_DIM + VALUE_DIM))
        self.proj = nn.Linear(HEADS * VALUE_DIM, dim)
        self.attention_biases = nn.Parameter(torch.zeros(HEADS, TABLE_SIDE * TABLE_SIDE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, H, W, C)` to the same shape."""
        n, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(n, height * width, HEADS, -1).transpose(1, 2)
        q, k, v = qkv.split([KEY_DIM, KEY_DIM, VALUE_DIM], dim=-1)
        bias = relative_bias(self.attention_biases, TABLE_SIDE, height, width)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q.dtype))
        out = out.transpose(1, 2).reshape(n, height, width, HEADS * VALUE_DIM)
        projected: torch.Tensor = self.proj(out)
        return projected


class AttentionBlock(nn.Module):
    """Attention and a perceptron, each behind a norm, scaled and beside a shortcut."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.token_mixer = Attention(dim)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.ls2 = LayerScale(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, H, W, C)` to the same shape."""
        x = x + self.drop_path(self.ls1(self.token_mixer(self.norm1(x))))
        out: torch.Tensor = x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))
        return out


class Stage(nn.Module):
    """Downsampling, pooling blocks, and attending blocks at the end."""

    def __init__(
        self, dim: int, dim_out: int, attending: int, rates: list[float], *, downsample: bool
    ) -> None:
        super().__init__()
        self.downsample = Downsample(dim, dim_out) if downsample else nn.Identity()
        pooling = len(rates) - attending
        blocks: list[nn.Module] = [PoolBlock(dim_out, rate) for rate in rates[:pooling]]
        if attending:
            blocks += [
                ChannelsLast(),
                *(AttentionBlock(dim_out, rate) for rate in rates[pooling:]),
            ]
        self.attending = attending
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, dim, H, W)` to `(N, dim_out, H', W')`."""
        x = self.blocks(self.downsample(x))
        return x.permute(0, 3, 1, 2) if self.attending else x


class EfficientFormer(StagedEncoder):
    """The body: an image to maps of strides 2, 4, 8, 16 and 32.

    Args:
        variant: the size.
        depth: number of halvings; 5 keeps all four stages.
        drop_path: the share of residual branches that training skips in the last block, growing
            linearly from 0 in the first.
    """

    def __init__(
        self, variant: EfficientFormerVariant, depth: int = 5, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        widths = variant.widths[: depth - 1]
        self.out_channels = [3, widths[0] // 2, *widths]
        self.output_stride = 2**depth
        self.stem = Stem(widths[0])
        self.stages = nn.ModuleList()
        done, total = 0, sum(variant.blocks)
        for index, width in enumerate(widths):
            count = variant.blocks[index]
            rates = [drop_path * (done + i) / (total - 1) for i in range(count)]
            attending = variant.attending if index == len(variant.widths) - 1 else 0
            before = widths[max(index - 1, 0)]
            self.stages.append(Stage(before, width, attending, rates, downsample=index > 0))
            done += count
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)


class EfficientFormerClassifier(EfficientFormer):
    """The whole ImageNet classifier: the mean of two heads, one of them taught by a CNN."""

    def __init__(self, variant: EfficientFormerVariant, classes: int = 1000) -> None:
        super().__init__(variant)
        self.norm = nn.LayerNorm(variant.widths[-1])
        self.head = nn.Linear(variant.widths[-1], classes)
        self.head_dist = nn.Linear(variant.widths[-1], classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`(N, 3, H, W)` to logits `(N, classes)`."""
        tokens = super().forward(images)[-1].permute(0, 2, 3, 1)
        pooled = self.norm(tokens).mean(dim=(1, 2))
        logits: torch.Tensor = (self.head(pooled) + self.head_dist(pooled)) / 2
        return logits


FAMILY = Family(VARIANTS, EfficientFormer, EfficientFormerClassifier, OPTIONS)
build, classifier = FAMILY.build, FAMILY.classifier
