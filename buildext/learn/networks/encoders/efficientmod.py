"""EfficientMod: efficient modulation for vision networks.

Ma et al., ICLR 2024, arXiv 2403.19963. *Modulation* multiplies, position by position, what is there
(the value) by what is around it (the context); a block does it in one piece with its perceptron:

    y = x + γ · W2[ φ(W1 · LN(x)) ⊙ repeat_r( g( GELU( DWConv7×7( f( LN(x) ) ) ) ) ) ]

f and g are linear maps of C channels, W1 widens to r·C and W2 narrows back, the context is repeated
r times along the channels, γ is one learnt factor a channel that starts at 1e-4. The widening r
alternates between 1 and 6 (4 in the size xs); φ is GELU where r > 1 and nothing where r = 1.

Four stages at strides 4, 8, 16 and 32. A stem of 7 × 7, stride 4, and between the stages 3 × 3
convolutions of stride 2, each followed by LN. The hybrid sizes (all but s-Conv) end their last two
stages with plain blocks of global self-attention: 8 heads of max(32, C / 8) channels, a perceptron
of ratio 4 (5 in the last stage of the size s), the same γ.

The paper's table gives parameters and multiplications to three digits, and the classifiers agree
with all of them; for the size s this leaves no other choice of perceptron ratios between 4 and 5.
Where the classifier's norm stands changes neither figure: here it is behind the mean over the map.

Maps keep their channels last inside a stage, since LN and the linear maps, which are most of the
work, want them so; only the depthwise convolution sees a permuted view. In one comparison of the
size xxs on two CPU cores this took, of the time of 1 × 1 convolutions over channels-first maps, 0.9
in training in float32, 0.7 in bfloat16, and 0.5 and 0.65 in OpenVINO.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.encoders.family import Family

OPTIONS = ("drop_path",)
HEAD_PREFIXES = ("norm.", "head.")
HEADS = 8
LEAST_HEAD_CHANNELS = 32
SCALE = 1e-4
EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class EfficientModVariant:
    """One size of the family.

    Attributes:
        widths: of the four stages.
        modulations: modulation blocks of the four stages.
        attentions: attention blocks of the four stages, behind the modulation blocks.
        widening: r of every second modulation block; it is 1 in the others, the first included.
        mlp_ratios: widening of the perceptrons in the attention blocks of the four stages.
    """

    widths: tuple[int, int, int, int]
    modulations: tuple[int, int, int, int]
    attentions: tuple[int, int, int, int] = (0, 0, 0, 0)
    widening: int = 6
    mlp_ratios: tuple[int, int, int, int] = (4, 4, 4, 4)


VARIANTS = {
    "efficientmod_xxs": EfficientModVariant((32, 64, 128, 256), (2, 2, 6, 2), (0, 0, 1, 2)),
    "efficientmod_xs": EfficientModVariant(
        (32, 64, 144, 288), (3, 3, 4, 2), (0, 0, 3, 3), widening=4
    ),
    "efficientmod_s": EfficientModVariant(
        (32, 64, 144, 312), (4, 4, 8, 4), (0, 0, 4, 4), mlp_ratios=(4, 4, 4, 5)
    ),
    "efficientmod_s_conv": EfficientModVariant((40, 80, 160, 344), (4, 4, 12, 8)),
}


class Modulation(nn.Module):
    """The block of the formula above.

    Args:
        dim: C, the channels.
        widening: r.
        drop_path: share of the images in a training batch for which the block is skipped.
    """

    def __init__(self, dim: int, widening: int, drop_path: float) -> None:
        super().__init__()
        self.widening = widening
        self.norm = nn.LayerNorm(dim, EPSILON)
        self.context_in = nn.Linear(dim, dim)
        self.context_conv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.context_out = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, widening * dim)
        self.project = nn.Linear(widening * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), SCALE))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, H, W, C)` to `(N, H, W, C)`."""
        normed = self.norm(x)
        around = self.context_conv(self.context_in(normed).permute(0, 3, 1, 2))
        context = self.context_out(F.gelu(around).permute(0, 2, 3, 1))
        value = self.value(normed)
        if self.widening > 1:
            value = F.gelu(value)
            context = torch.cat([context] * self.widening, dim=-1)
        modulated: torch.Tensor = self.drop_path(self.scale * self.project(value * context))
        return x + modulated


class Attention(nn.Module):
    """Multi-head self-attention over the whole map.

    Its cost grows with the square of the number of positions: 1024 of them in a tile of 512 pixels
    at stride 16.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head_channels = max(LEAST_HEAD_CHANNELS, dim // HEADS)
        inner = HEADS * self.head_channels
        self.qkv = nn.Linear(dim, 3 * inner)
        self.project = nn.Linear(inner, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, H, W, C)` to `(N, H, W, C)`."""
        _, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(-1, height * width, 3, HEADS, self.head_channels)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v)
        out = out.transpose(1, 2).reshape(-1, height, width, HEADS * self.head_channels)
        projected: torch.Tensor = self.project(out)
        return projected


class AttentionBlock(nn.Module):
    """Attention and a perceptron, each behind a norm, scaled, and beside a shortcut."""

    def __init__(self, dim: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, EPSILON)
        self.attention = Attention(dim)
        self.scale1 = nn.Parameter(torch.full((dim,), SCALE))
        self.norm2 = nn.LayerNorm(dim, EPSILON)
        self.mlp = Mlp(dim, mlp_ratio * dim)
        self.scale2 = nn.Parameter(torch.full((dim,), SCALE))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, H, W, C)` to `(N, H, W, C)`."""
        x = x + self.drop_path(self.scale1 * self.attention(self.norm1(x)))
        refined: torch.Tensor = self.drop_path(self.scale2 * self.mlp(self.norm2(x)))
        return x + refined


class Stage(nn.Module):
    """A convolution that shrinks the map, LN, then blocks.

    Args:
        downsample: takes `(N, K, H, W)` to `(N, C, H', W')`.
        dim: C.
        blocks: of maps with channels last.
    """

    def __init__(self, downsample: nn.Conv2d, dim: int, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.norm = nn.LayerNorm(dim, EPSILON)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, K, H, W)` to `(N, C, H', W')`, the latter a view of channels-last memory."""
        x = self.norm(self.downsample(x).permute(0, 2, 3, 1))
        x = self.blocks(x)
        return x.permute(0, 3, 1, 2)


class EfficientMod(nn.Module):
    """The body: an image to maps of strides 4, 8, 16 and 32.

    Args:
        variant: the size.
        depth: number of halvings; 5 keeps all four stages.
        drop_path: the share of residual branches that training skips in the last block, growing
            linearly from 0 in the first (stochastic depth, Huang et al. 2016).

    Raises:
        ModelError: `drop_path` is no share below 1.
    """

    def __init__(
        self, variant: EfficientModVariant, depth: int = 5, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        if not 0.0 <= drop_path < 1.0:
            raise ModelError(
                f"got drop_path = {drop_path}; expected a share from 0 to below 1",
                hint="0.1 is a common choice; 0 skips nothing",
            )
        stages = depth - 1
        self.out_channels = [3, 0, *variant.widths[:stages]]
        self.output_stride = self.stride_divisor = 2**depth
        total = sum(variant.modulations) + sum(variant.attentions)
        rates = (drop_path * index / (total - 1) for index in range(total))
        self.stages = nn.ModuleList()
        for stage, dim in enumerate(variant.widths[:stages]):
            blocks: list[nn.Module] = [
                Modulation(dim, variant.widening if index % 2 else 1, next(rates))
                for index in range(variant.modulations[stage])
            ]
            blocks += [
                AttentionBlock(dim, variant.mlp_ratios[stage], next(rates))
                for _ in range(variant.attentions[stage])
            ]
            if stage == 0:
                shrink = nn.Conv2d(3, dim, 7, stride=4, padding=3)
            else:
                shrink = nn.Conv2d(variant.widths[stage - 1], dim, 3, stride=2, padding=1)
            self.stages.append(Stage(shrink, dim, blocks))
        self._initialise()

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Normalised images `(N, 3, H, W)`, sides multiples of `stride_divisor`, to all maps."""
        # A slice of no channels: the map at half size that this architecture does not have.
        maps = [images, images[:, :0, ::2, ::2]]
        x = images
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def _initialise(self) -> None:
        """Normal weights of 0.02 and no bias, in linear layers and convolutions alike."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)


class EfficientModClassifier(EfficientMod):
    """The whole ImageNet classifier."""

    def __init__(self, variant: EfficientModVariant, classes: int = 1000) -> None:
        super().__init__(variant)
        self.norm = nn.LayerNorm(variant.widths[-1], EPSILON)
        self.head = nn.Linear(variant.widths[-1], classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`(N, 3, H, W)` to logits `(N, classes)`."""
        mean = super().forward(images)[-1].mean(dim=(2, 3))
        logits: torch.Tensor = self.head(self.norm(mean))
        return logits


FAMILY = Family(VARIANTS, EfficientMod, EfficientModClassifier, OPTIONS)
build, classifier = FAMILY.build, FAMILY.classifier
