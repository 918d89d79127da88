"""EfficientFormerV2: depth-wise convolutions everywhere, attention where the map is small.

Li et al. 2022, arXiv 2212.08059. A stem of two 3 × 3 convolutions of stride 2, then four stages at
strides 4, 8, 16 and 32. Each block is a perceptron with a depth-wise 3 × 3 convolution in its
middle. The last blocks of stages 3 and 4 attend globally before it:

- with a bias for each offset between query and key, and the heads mixed linearly before and after
  the softmax (talking heads);
- with the values' own neighbourhood added, a depth-wise convolution;
- in stage 3 on a map of half the size, enlarged afterwards.

The step from stage 3 to stage 4 attends as well, its queries being every second place.

timm fixes the image size at build time, through the tables of biases; here the tables keep the
size that belongs to 224 × 224 pixels, and `position.relative_bias` takes them to the map at hand.
Modules are named as in timm, so timm's files load strictly. At 224 the maps are timm's.

The classifiers have 3.60, 6.19, 12.71 and 26.32 M parameters (S0, S1, S2, L), which is 2.9, 1.4,
0.9 and 0.8 % more than the paper prints (3.5, 6.1, 12.6, 26.1); keys and shapes are those of the
released weights as timm has them. Multiply-accumulates agree (0.40, 0.65, 1.25, 2.55 G).

The map at half the image's size is the stem after its first convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.layers.layer_scale import LayerScale2d
from torch import nn

from buildext.learn.networks.encoders.family import Family
from buildext.learn.networks.encoders.position import relative_bias
from buildext.learn.networks.encoders.staged import StagedEncoder

OPTIONS = ("drop_path",)
HEAD_PREFIXES = ("norm.", "head.", "head_dist.")
HEADS = 8
VALUE_RATIO = 4
TABLE_SIDE = 7


@dataclass(frozen=True, slots=True)
class EfficientFormerV2Variant:
    """One size of the family.

    Attributes:
        widths: of the four stages.
        ratios: how much wider than the stage each block's perceptron is, by stage.
        attending: how many blocks at the end of stages 3 and 4 attend.
    """

    widths: tuple[int, int, int, int]
    ratios: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    attending: int


VARIANTS = {
    "efficientformerv2_s0": EfficientFormerV2Variant(
        (32, 48, 96, 176), ((4,) * 2, (4,) * 2, (4, 3, 3, 3, 4, 4), (4, 3, 3, 4)), 2
    ),
    "efficientformerv2_s1": EfficientFormerV2Variant(
        (32, 48, 120, 224),
        ((4,) * 3, (4,) * 3, (4, 4, 3, 3, 3, 3, 4, 4, 4), (4, 4, 3, 3, 4, 4)),
        2,
    ),
    "efficientformerv2_s2": EfficientFormerV2Variant(
        (32, 64, 144, 288),
        (
            (4,) * 4,
            (4,) * 4,
            (4, 4, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4),
            (4, 4, 3, 3, 3, 3, 4, 4),
        ),
        4,
    ),
    "efficientformerv2_l": EfficientFormerV2Variant(
        (40, 80, 192, 384),
        (
            (4,) * 5,
            (4,) * 5,
            (4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4),
            (4, 4, 4, 3, 3, 3, 3, 4, 4, 4),
        ),
        6,
    ),
}


class ConvNorm(nn.Module):
    """A convolution that keeps the size, or divides it by `stride`, and its norm."""

    def __init__(
        self, dim: int, dim_out: int, kernel: int = 1, *, stride: int = 1, depthwise: bool = False
    ) -> None:
        super().__init__()
        groups = dim if depthwise else 1
        self.conv = nn.Conv2d(dim, dim_out, kernel, stride, kernel // 2, groups=groups)
        self.bn = nn.BatchNorm2d(dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, dim, H, W)` to `(N, dim_out, H/stride, W/stride)`."""
        out: torch.Tensor = self.bn(self.conv(x))
        return out


class Stem(nn.Module):
    """Two convolutions of stride 2; the map between them is handed out as well."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, width // 2, 3, stride=2)
        self.conv2 = ConvNorm(width // 2, width, 3, stride=2)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(N, 3, H, W)` to maps of strides 2 and 4."""
        half = F.gelu(self.conv1(images))
        return half, F.gelu(self.conv2(half))


def split_heads(x: torch.Tensor) -> torch.Tensor:
    """`(N, heads * D, H, W)` to `(N, heads, D, H * W)`."""
    n, channels, height, width = x.shape
    return x.reshape(n, HEADS, channels // HEADS, height * width)


class Attention(nn.Module):
    """Global attention with talking heads, on the map itself or on one of half its size."""

    KEY_DIM = 32

    def __init__(self, dim: int, *, halved: bool) -> None:
        super().__init__()
        keys = HEADS * self.KEY_DIM
        values = keys * VALUE_RATIO
        self.stride_conv = ConvNorm(dim, dim, 3, stride=2, depthwise=True) if halved else None
        self.q = ConvNorm(dim, keys)
        self.k = ConvNorm(dim, keys)
        self.v = ConvNorm(dim, values)
        self.v_local = ConvNorm(values, values, 3, depthwise=True)
        self.talking_head1 = nn.Conv2d(HEADS, HEADS, 1)
        self.talking_head2 = nn.Conv2d(HEADS, HEADS, 1)
        self.proj = ConvNorm(values, dim)
        self.attention_biases = nn.Parameter(torch.zeros(HEADS, TABLE_SIDE * TABLE_SIDE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        if self.stride_conv is not None:
            x = self.stride_conv(x)
        _, _, height, width = x.shape
        value_map = self.v(x)
        q, k, v = split_heads(self.q(x)), split_heads(self.k(x)), split_heads(value_map)
        attention = (q.transpose(-2, -1) @ k) * self.KEY_DIM**-0.5
        bias = relative_bias(self.attention_biases, TABLE_SIDE, height, width)
        attention = self.talking_head1(attention + bias)
        attention = self.talking_head2(attention.softmax(dim=-1))
        out = (v @ attention.transpose(-2, -1)).reshape(value_map.shape)
        out = out + self.v_local(value_map)
        if self.stride_conv is not None:
            out = F.interpolate(out, scale_factor=2, mode="bilinear")
        projected: torch.Tensor = self.proj(F.gelu(out))
        return projected


class SparseQuery(nn.Module):
    """Queries at every second place: the place itself and its neighbourhood."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(dim, dim, 3, stride=2, padding=1, groups=dim)
        self.proj = ConvNorm(dim, dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, dim, H, W)` to `(N, dim_out, H/2, W/2)`."""
        out: torch.Tensor = self.proj(self.local(x) + x[:, :, ::2, ::2])
        return out


class AttentionDownsample(nn.Module):
    """Attention whose queries are every second place, so that the map comes out halved."""

    KEY_DIM = 16
    # The keys are a map of stride 16, twice as fine as the others'.
    TABLE_SIDE = 2 * TABLE_SIDE

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        keys = HEADS * self.KEY_DIM
        values = keys * VALUE_RATIO
        self.q = SparseQuery(dim, keys)
        self.k = ConvNorm(dim, keys)
        self.v = ConvNorm(dim, values)
        self.v_local = ConvNorm(values, values, 3, stride=2, depthwise=True)
        self.proj = ConvNorm(values, dim_out)
        self.attention_biases = nn.Parameter(torch.zeros(HEADS, self.TABLE_SIDE**2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, dim, H, W)` to `(N, dim_out, H/2, W/2)`."""
        _, _, height, width = x.shape
        value_map = self.v(x)
        local = self.v_local(value_map)
        q, k, v = split_heads(self.q(x)), split_heads(self.k(x)), split_heads(value_map)
        attention = (q.transpose(-2, -1) @ k) * self.KEY_DIM**-0.5
        bias = relative_bias(self.attention_biases, self.TABLE_SIDE, height, width, query_step=2)
        attention = (attention + bias).softmax(dim=-1)
        out = (v @ attention.transpose(-2, -1)).reshape(local.shape) + local
        projected: torch.Tensor = self.proj(F.gelu(out))
        return projected


class Downsample(nn.Module):
    """A 3 × 3 convolution of stride 2, with attention beside it in front of the last stage."""

    def __init__(self, dim: int, dim_out: int, *, attending: bool) -> None:
        super().__init__()
        self.conv = ConvNorm(dim, dim_out, 3, stride=2)
        self.attn = AttentionDownsample(dim, dim_out) if attending else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, dim, H, W)` to `(N, dim_out, H/2, W/2)`."""
        out: torch.Tensor = self.conv(x)
        return out if self.attn is None else self.attn(x) + out


class ConvMlp(nn.Module):
    """A perceptron at each place with a depth-wise convolution in its middle."""

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = ConvNorm(dim, ratio * dim)
        self.mid = ConvNorm(ratio * dim, ratio * dim, 3, depthwise=True)
        self.fc2 = ConvNorm(ratio * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        out: torch.Tensor = self.fc2(F.gelu(self.mid(F.gelu(self.fc1(x)))))
        return out


class Block(nn.Module):
    """Attention, where there is one, and a perceptron, each scaled and beside a shortcut."""

    def __init__(self, dim: int, ratio: int, attention: Attention | None) -> None:
        super().__init__()
        self.token_mixer = attention
        self.ls1 = LayerScale2d(dim) if attention else None
        self.mlp = ConvMlp(dim, ratio)
        self.ls2 = LayerScale2d(dim)
        self.drop_path = DropPath()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        if self.token_mixer is not None and self.ls1 is not None:
            x = x + self.drop_path(self.ls1(self.token_mixer(x)))
        out: torch.Tensor = x + self.drop_path(self.ls2(self.mlp(x)))
        return out


class Stage(nn.Module):
    """Downsampling and blocks; `index` counts the stages from 0."""

    def __init__(
        self, index: int, dim: int, dim_out: int, ratios: tuple[int, ...], attending: int
    ) -> None:
        super().__init__()
        self.downsample = Downsample(dim, dim_out, attending=index == 3) if index else nn.Identity()
        first = len(ratios) - attending if index >= 2 else len(ratios)
        self.blocks = nn.Sequential(
            *(
                Block(dim_out, ratio, Attention(dim_out, halved=index == 2) if i >= first else None)
                for i, ratio in enumerate(ratios)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, dim, H, W)` to `(N, dim_out, H', W')`."""
        out: torch.Tensor = self.blocks(self.downsample(x))
        return out


class EfficientFormerV2(StagedEncoder):
    """The body: an image to maps of strides 2, 4, 8, 16 and 32.

    Args:
        variant: the size.
        depth: number of halvings; 5 keeps all four stages.
        drop_path: the share of residual branches that training skips in the last block, growing
            linearly from 0 in the first.
    """

    def __init__(
        self, variant: EfficientFormerV2Variant, depth: int = 5, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        widths = variant.widths[: depth - 1]
        self.out_channels = [3, widths[0] // 2, *widths]
        self.output_stride = 2**depth
        self.stem = Stem(widths[0])
        self.stages = nn.ModuleList(
            Stage(i, widths[max(i - 1, 0)], width, variant.ratios[i], variant.attending)
            for i, width in enumerate(widths)
        )
        blocks = [m for m in self.modules() if isinstance(m, Block)]
        total = sum(map(len, variant.ratios))
        for number, block in enumerate(blocks):
            block.drop_path.drop_prob = drop_path * number / (total - 1)


class EfficientFormerV2Classifier(EfficientFormerV2):
    """The whole ImageNet classifier: the mean of two heads, one of them taught by a CNN."""

    def __init__(self, variant: EfficientFormerV2Variant, classes: int = 1000) -> None:
        super().__init__(variant)
        self.norm = nn.BatchNorm2d(variant.widths[-1])
        self.head = nn.Linear(variant.widths[-1], classes)
        self.head_dist = nn.Linear(variant.widths[-1], classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`(N, 3, H, W)` to logits `(N, classes)`."""
        pooled = self.norm(super().forward(images)[-1]).mean(dim=(2, 3))
        logits: torch.Tensor = (self.head(pooled) + self.head_dist(pooled)) / 2
        return logits


FAMILY = Family(VARIANTS, EfficientFormerV2, EfficientFormerV2Classifier, OPTIONS)
build, classifier = FAMILY.build, FAMILY.classifier
