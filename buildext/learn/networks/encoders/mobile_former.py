"""Mobile-Former: a MobileNet and a transformer of a few tokens, side by side.

Chen et al. 2022, arXiv 2108.05895. The *Mobile* half is a chain of inverted bottlenecks. The
*Former* half is no more than six learnt tokens that stand for the whole image. A block has four
parts:

- **Mobile → Former**: the tokens look at the map, `z += Attention(z W_Q, x, x) W_O`;
- **Former**: self-attention and a perceptron among the tokens;
- **Mobile**: the bottleneck, whose activations are *dynamic*: `max(a₁ x, a₂ x)`, both slopes of
  each channel told by the first token (Chen et al. 2020, arXiv 2003.10027);
- **Mobile ← Former**: the map looks at the tokens, `x += Attention(x, z W_K, z W_V)`.

Attention across costs little, for the large side goes in as it is, without a projection. A block
that halves the map has two bottlenecks, each opened by a depth-wise convolution that widens. The
first block is a mere depth-wise and point-wise pair. The smallest network mixes its channels in
four groups and shuffles them in between.

Nothing depends on the size of the image. The map at half its size is the first block's, or the
stem's where the first block halves again.

What the text of the paper leaves open follows the table of the authors' code
(github.com/AAboys/MobileFormer): a sigmoid gate on what the tokens take from the map, keys and
values of the Former without projections, and the head. Written from these definitions; released
weights have other names.

Parameters of the classifiers round to the paper's. Its operations at 224 × 224 pixels are met once
each norm and each dynamic activation counts as one multiplication a value, besides the
multiply-accumulates of layers and attention:

| | M parameters | paper | M MACs | with norms and activations | paper |
|--|--|--|--|--|--|
| 26m | 3.23 | 3.2 | 23.6 | 25.6 | 26 |
| 52m | 3.47 | 3.5 | 49.3 | 51.3 | 52 |
| 96m | 4.59 | 4.6 | 92.0 | 95.3 | 96 |
| 151m | 7.60 | 7.6 | 146.2 | 150.8 | 151 |
| 214m | 9.43 | 9.4 | 208.4 | 214.0 | 214 |
| 294m | 11.42 | 11.4 | 286.7 | 293.8 | 294 |
| 508m | 13.98 | 14.0 | 498.5 | 508.4 | 508 |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from buildext.learn.networks.encoders.bridge import (
    DynamicReLU,
    Former,
    FormerToMobile,
    MobileToFormer,
)
from buildext.learn.networks.encoders.family import Family

OPTIONS = ()
HEAD_PREFIXES = ("summary.", "head.")


@dataclass(frozen=True, slots=True)
class Row:
    """One block.

    Attributes:
        expand: how much wider the bottleneck is than what comes in.
        width: channels that go out.
        stride: 1 or 2.
        expand_again: for a block that halves, how much wider its second bottleneck is than what
            goes out; 0 is a plain pair of convolutions without tokens.
    """

    expand: int
    width: int
    stride: int = 1
    expand_again: int | None = None


@dataclass(frozen=True, slots=True)
class MobileFormerVariant:
    """One size of the family.

    Attributes:
        stem: width of the stem.
        rows: the blocks.
        tokens: number of tokens.
        token_width: of a token.
        head_width: of the classifier's hidden layer.
        groups: in how many groups point-wise convolutions mix channels.
    """

    stem: int
    rows: tuple[Row, ...]
    tokens: int
    token_width: int
    head_width: int
    groups: int = 1


def _long(
    widths: tuple[int, int, int, int, int, int], expand_4: int, expand_8: int
) -> tuple[Row, ...]:
    """The twelve blocks of the larger four: widths at /2, /4, /8, twice at /16, at /32."""
    w2, w4, w8, w16, w16b, w32 = widths
    return (
        Row(2, w2, 1, 0),
        Row(6, w4, 2, 4),
        Row(expand_4, w4),
        Row(6, w8, 2, 4),
        Row(expand_8, w8),
        Row(6, w16, 2, 4),
        Row(4, w16),
        Row(6, w16b),
        Row(6, w16b),
        Row(6, w32, 2, 4),
        Row(6, w32),
        Row(6, w32),
    )


_SHORT = (
    Row(3, 12, 2, 0),
    Row(3, 12),
    Row(6, 24, 2, 4),
    Row(3, 24),
    Row(6, 48, 2, 4),
    Row(4, 48),
    Row(6, 64),
    Row(6, 96, 2, 4),
    Row(6, 96),
)

VARIANTS = {
    "mobile_former_26m": MobileFormerVariant(8, _SHORT, 3, 128, 1024, groups=4),
    "mobile_former_52m": MobileFormerVariant(8, _SHORT, 3, 128, 1024),
    "mobile_former_96m": MobileFormerVariant(
        12,
        (
            Row(2, 12, 1, 0),
            Row(6, 16, 2, 4),
            Row(6, 32, 2, 4),
            Row(3, 32),
            Row(6, 64, 2, 4),
            Row(4, 64),
            Row(6, 88),
            Row(6, 128, 2, 4),
            Row(6, 128),
        ),
        4,
        128,
        1280,
    ),
    "mobile_former_151m": MobileFormerVariant(
        12, _long((12, 16, 32, 64, 88, 128), 3, 3), 6, 192, 1280
    ),
    "mobile_former_214m": MobileFormerVariant(
        12, _long((12, 20, 40, 80, 112, 160), 3, 4), 6, 192, 1600
    ),
    "mobile_former_294m": MobileFormerVariant(
        16, _long((16, 24, 48, 96, 128, 192), 4, 4), 6, 192, 1920
    ),
    "mobile_former_508m": MobileFormerVariant(
        24, _long((24, 40, 72, 128, 176, 240), 3, 3), 6, 192, 1920
    ),
}


class ConvNorm(nn.Sequential):
    """A convolution without bias and its norm."""

    def __init__(
        self, dim: int, dim_out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(dim, dim_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(dim_out),
        )


class Shuffle(nn.Module):
    """Deal the channels of each group out to all groups (ShuffleNet)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        n, channels, height, width = x.shape
        x = x.reshape(n, self.groups, channels // self.groups, height, width)
        return x.transpose(1, 2).reshape(n, channels, height, width)


def shuffle(dealt: int, groups: int) -> nn.Module:
    """A shuffle of `dealt` groups where convolutions are grouped at all."""
    return Shuffle(dealt) if groups > 1 else nn.Identity()


class PlainBlock(nn.Module):
    """A widening depth-wise and a narrowing point-wise convolution; tokens pass by."""

    def __init__(self, dim: int, row: Row, variant: MobileFormerVariant) -> None:
        super().__init__()
        wide, groups = dim * row.expand, variant.groups
        self.residual = row.stride == 1 and dim == row.width
        self.widen = ConvNorm(dim, wide, 3, stride=row.stride, groups=dim)
        self.shuffle = shuffle(dim, groups)
        self.narrow = ConvNorm(wide, row.width, 1, groups=groups)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A map and the tokens, to the same."""
        out = self.narrow(self.shuffle(F.relu6(self.widen(x))))
        return (x + out if self.residual else out), tokens


class Bottleneck(nn.Module):
    """Point-wise wider, depth-wise, point-wise narrower; both activations are dynamic."""

    def __init__(self, dim: int, row: Row, variant: MobileFormerVariant) -> None:
        super().__init__()
        wide, groups = dim * row.expand, variant.groups
        self.residual = dim == row.width
        self.widen = nn.Sequential(ConvNorm(dim, wide, 1, groups=groups), shuffle(groups, groups))
        self.act1 = DynamicReLU(wide, variant.token_width)
        self.depthwise = ConvNorm(wide, wide, 3, groups=wide)
        self.act2 = DynamicReLU(wide, variant.token_width)
        self.narrow = nn.Sequential(
            ConvNorm(wide, row.width, 1, groups=groups), shuffle(groups, groups)
        )

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """A map `(N, C, H, W)` and tokens `(N, M, D)` to a map."""
        wide = self.act1(self.widen(x), tokens)
        out: torch.Tensor = self.narrow(self.act2(self.depthwise(wide), tokens))
        return x + out if self.residual else out


class HalvingBottlenecks(nn.Module):
    """Two pairs of a widening depth-wise and a narrowing point-wise convolution."""

    def __init__(self, dim: int, row: Row, variant: MobileFormerVariant) -> None:
        super().__init__()
        wide, again, groups = dim * row.expand, row.width * (row.expand_again or 1), variant.groups
        self.widen1 = ConvNorm(dim, wide, 3, stride=2, groups=dim)
        self.shuffle1 = shuffle(dim, groups)
        self.act1 = DynamicReLU(wide, variant.token_width)
        self.narrow1 = ConvNorm(wide, row.width, 1, groups=groups)
        self.widen2 = ConvNorm(row.width, again, 3, groups=row.width)
        self.shuffle2 = shuffle(row.width, groups)
        self.act2 = DynamicReLU(again, variant.token_width)
        self.narrow2 = ConvNorm(again, row.width, 1, groups=groups)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """A map `(N, C, H, W)` and tokens `(N, M, D)` to a map of half the size."""
        x = self.narrow1(self.act1(self.shuffle1(self.widen1(x)), tokens))
        out: torch.Tensor = x + self.narrow2(self.act2(self.shuffle2(self.widen2(x)), tokens))
        return out


class Block(nn.Module):
    """Both halves and the bridges between them."""

    def __init__(self, dim: int, row: Row, variant: MobileFormerVariant) -> None:
        super().__init__()
        self.to_former = MobileToFormer(dim, variant.token_width)
        self.former = Former(variant.token_width)
        mobile = HalvingBottlenecks if row.stride == 2 else Bottleneck
        self.mobile = mobile(dim, row, variant)
        self.to_mobile = FormerToMobile(row.width, variant.token_width)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A map and the tokens, to the same."""
        tokens = self.former(self.to_former(x, tokens))
        return self.to_mobile(self.mobile(x, tokens), tokens), tokens


class MobileFormer(nn.Module):
    """The body: an image to maps of strides 2, 4, 8, 16 and 32.

    Args:
        variant: the size.
        depth: number of halvings; later blocks are left out.
    """

    def __init__(self, variant: MobileFormerVariant, depth: int = 5) -> None:
        super().__init__()
        self.output_stride = 2**depth
        self.stem = ConvNorm(3, variant.stem, 3, stride=2)
        self.tokens = nn.Parameter(torch.randn(variant.tokens, variant.token_width))
        self.blocks = nn.ModuleList()
        # The blocks in front of which a map is complete.
        self.halving: list[int] = []
        self.out_channels, dim = [3], variant.stem
        for row in variant.rows:
            if row.stride == 2:
                self.out_channels.append(dim)
                if len(self.out_channels) > depth:
                    break
                self.halving.append(len(self.blocks))
            kind = PlainBlock if row.expand_again == 0 else Block
            self.blocks.append(kind(dim, row, variant))
            dim = row.width
        else:
            self.out_channels.append(dim)
        self._initialise()

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Normalised images `(N, 3, H, W)`, sides multiples of 32, to `depth + 1` maps."""
        return self.maps_and_tokens(images)[0]

    def maps_and_tokens(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The maps, and the tokens `(N, M, D)` as the last block leaves them."""
        maps = [images]
        x = F.relu6(self.stem(images))
        tokens = self.tokens.repeat(images.shape[0], 1, 1)
        for index, block in enumerate(self.blocks):
            if index in self.halving:
                maps.append(x)
            x, tokens = block(x, tokens)
        return [*maps, x], tokens

    def _initialise(self) -> None:
        """He's weights for convolutions; small ones for the tokens' layers."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)


class Head(nn.Module):
    """The mean of the widened map and the first token, through two layers."""

    def __init__(self, dim: int, variant: MobileFormerVariant, classes: int) -> None:
        super().__init__()
        groups, width = variant.groups, variant.head_width
        self.conv = nn.Sequential(shuffle(groups, groups), ConvNorm(dim, 6 * dim, 1, groups=groups))
        self.fc1 = nn.Linear(6 * dim + variant.token_width, width)
        self.norm = nn.BatchNorm1d(width)
        self.fc2 = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """A map `(N, C, H, W)` and tokens `(N, M, D)` to logits `(N, classes)`."""
        pooled = F.hardswish(F.relu6(self.conv(x)).mean(dim=(2, 3)))
        both = torch.cat([pooled, tokens[:, 0]], dim=1)
        logits: torch.Tensor = self.fc2(F.hardswish(self.norm(self.fc1(both))))
        return logits


class MobileFormerClassifier(MobileFormer):
    """The whole ImageNet classifier; the tokens look at the last map once more."""

    def __init__(self, variant: MobileFormerVariant, classes: int = 1000) -> None:
        super().__init__(variant)
        width = self.out_channels[-1]
        self.summary = MobileToFormer(width, variant.token_width)
        self.head = Head(width, variant, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`(N, 3, H, W)` to logits `(N, classes)`."""
        maps, tokens = self.maps_and_tokens(images)
        logits: torch.Tensor = self.head(maps[-1], self.summary(maps[-1], tokens))
        return logits


FAMILY = Family(VARIANTS, MobileFormer, MobileFormerClassifier, OPTIONS)
build, classifier = FAMILY.build, FAMILY.classifier
