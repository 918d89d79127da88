"""FasterViT: convolutions on large maps, hierarchical attention on small ones.

Hatamizadeh et al. 2023, arXiv 2306.06189 (ICLR 2024). A stem of two 3 × 3 convolutions of stride 2;
residual convolutional blocks in stages 1 and 2 (strides 4 and 8); *hierarchical attention* in
stages 3 and 4. There the map is cut into windows of 7 × 7 tokens that attend within themselves.
What lies outside a window comes to it through *carrier tokens*: each window is summed up in 2 × 2
of them; in each block the carriers of all windows attend to each other, then each window attends to
its own carriers beside its tokens. At the end of the stage the carriers are spread over their
windows and added.

    carriers += MHSA(LN(carriers));  carriers += MLP(LN(carriers))
    both = [carriers of the window, tokens of the window]
    both += MHSA(LN(both));          both += MLP(LN(both))

Places are told to the tokens by small perceptrons: one makes a vector of a place, which is added,
one a bias of the logarithm of an offset (as in Swin V2, arXiv 2111.09883). Both take any place, so
that nothing here depends on the size of the image.

Stage 4 is one window at 224 × 224 pixels and has no carriers; on larger images its windows stay
apart, each having heard of the others in stage 3. A map that is no multiple of 7 is continued by
its last row and column, which are cut off again. The option `window = 8` spares images of 256 or
512 pixels that: no parameter changes its shape, and 256 pixels cost 4.6 G multiply-accumulates
instead of 7.7 G.

Written from the paper's equations; released weights do not fit. The classifier has 31.42 M
parameters (the paper: 31.4 M) and 3.31 G multiply-accumulates in its layers at 224 (the paper:
3.3 G). The products of queries, keys and values add 0.05 G, the perceptrons of the places 0.13 G;
the latter are the same for every image of a size.

The map at half the image's size is the stem after its first convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.layers.layer_scale import LayerScale
from timm.layers.mlp import Mlp
from timm.layers.norm import LayerNorm2d
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.encoders.family import Family
from buildext.learn.networks.encoders.staged import StagedEncoder

OPTIONS = ("drop_path", "window")
HEAD_PREFIXES = ("norm.", "head.")
WINDOW = 7
# Carriers of a window along one side, and along the map of stage 3 at 224 x 224 pixels.
CARRIERS = 2
CARRIER_GRID = 4
PLACE_WIDTH = 512


@dataclass(frozen=True, slots=True)
class FasterViTVariant:
    """One size of the family.

    Attributes:
        widths: of the four stages.
        blocks: number of blocks of the four stages.
        heads: attention heads of stages 3 and 4.
    """

    widths: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    heads: tuple[int, int]


VARIANTS = {
    "fastervit_0": FasterViTVariant((64, 128, 256, 512), (2, 3, 6, 5), (8, 16)),
}


class Stem(nn.Module):
    """Two convolutions of stride 2; the map between them is handed out as well."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(N, 3, H, W)` to maps of strides 2 and 4."""
        half = F.relu(self.norm1(self.conv1(images)))
        return half, F.relu(self.norm2(self.conv2(half)))


class ConvBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        inner = F.gelu(self.norm1(self.conv1(x)))
        out: torch.Tensor = x + self.drop_path(self.norm2(self.conv2(inner)))
        return out


class PlaceMlp(nn.Module):
    """A perceptron from a place or an offset, `(..., 2)`, to `dim` numbers."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2, PLACE_WIDTH)
        self.fc2 = nn.Linear(PLACE_WIDTH, dim, bias=False)

    def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """All pairs of `y: (H,)` and `x: (W,)`, to `(H, W, dim)`."""
        pairs = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)
        out: torch.Tensor = self.fc2(F.relu(self.fc1(pairs)))
        return out


class TokenBlock(nn.Module):
    """Attention among tokens that stand on a grid, and a perceptron.

    Args:
        dim: width of a token.
        heads: number of attention heads.
        reach: the offset, in tokens, that counts as far: the side of the grid at 224 less one.
        drop_path: the share of residual branches that training skips.
    """

    def __init__(self, dim: int, heads: int, reach: int, drop_path: float) -> None:
        super().__init__()
        self.heads = heads
        self.reach = reach
        self.place = PlaceMlp(dim)
        self.offset = PlaceMlp(heads)
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.ls1 = LayerScale(dim, 1.0)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.ls2 = LayerScale(dim, 1.0)
        self.drop_path = DropPath(drop_path)

    def places(self, height: int, width: int) -> torch.Tensor:
        """A vector for each place of a grid, `(height * width, dim)`; its ends are -1 and 1."""
        device = self.qkv.weight.device
        y = (2 * torch.arange(height, device=device) + 1) / height - 1
        x = (2 * torch.arange(width, device=device) + 1) / width - 1
        places: torch.Tensor = self.place(y, x)
        return places.flatten(0, 1)

    def biases(self, height: int, width: int) -> torch.Tensor:
        """A bias for each pair of places of a grid, `(heads, height * width, height * width)`."""
        device = self.qkv.weight.device
        row, column = torch.arange(height, device=device), torch.arange(width, device=device)
        table: torch.Tensor = self.offset(self._scaled(height, device), self._scaled(width, device))
        table = (16 * table.sigmoid()).permute(2, 0, 1)
        dy = row[:, None] - row + height - 1
        dx = column[:, None] - column + width - 1
        pairs = table.index_select(1, dy.flatten()).index_select(2, dx.flatten())
        pairs = pairs.reshape(self.heads, height, height, width, width)
        return pairs.transpose(2, 3).reshape(self.heads, height * width, height * width)

    def forward(self, tokens: torch.Tensor, biases: torch.Tensor) -> torch.Tensor:
        """`(N, T, dim)` and biases `(heads, T, T)` to `(N, T, dim)`."""
        n, count, dim = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).reshape(n, count, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=biases[None].to(q.dtype))
        out = self.proj(out.transpose(1, 2).reshape(n, count, dim))
        tokens = tokens + self.drop_path(self.ls1(out))
        result: torch.Tensor = tokens + self.drop_path(self.ls2(self.mlp(self.norm2(tokens))))
        return result

    def _scaled(self, side: int, device: torch.device) -> torch.Tensor:
        """All offsets within `side` tokens, on Swin V2's logarithmic scale, `(2 * side - 1,)`."""
        offsets = 8 / self.reach * torch.arange(1 - side, side, device=device)
        return offsets.sign() * torch.log2(offsets.abs() + 1) / math.log2(8)


class HierarchicalBlock(nn.Module):
    """Carriers among themselves, then each window with its carriers."""

    def __init__(
        self, dim: int, heads: int, window: int, drop_path: float, *, carried: bool
    ) -> None:
        super().__init__()
        self.window = window
        self.local = TokenBlock(dim, heads, window - 1, drop_path)
        self.between = TokenBlock(dim, heads, CARRIER_GRID - 1, drop_path) if carried else None

    def forward(self, tokens: torch.Tensor, carriers: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Tokens `(windows, window², C)` and carriers `(N, rows, 2, columns, 2, C)`, to the same.

        Without carriers their tensor is passed through untouched.
        """
        tokens = tokens + self.local.places(self.window, self.window).to(tokens.dtype)
        biases = self.local.biases(self.window, self.window)
        if self.between is None:
            return self.local(tokens, biases), carriers
        n, rows, _, columns, _, dim = carriers.shape
        height, width = CARRIERS * rows, CARRIERS * columns
        grid = carriers.reshape(n, height * width, dim)
        grid = grid + self.between.places(height, width).to(grid.dtype)
        grid = self.between(grid, self.between.biases(height, width))
        own = grid.reshape(n, rows, CARRIERS, columns, CARRIERS, dim).transpose(2, 3)
        own = own.reshape(-1, CARRIERS**2, dim)
        # A carrier stands for its window as a whole: no offset, no bias.
        biases = F.pad(biases, (CARRIERS**2, 0, CARRIERS**2, 0))
        own, tokens = self.local(torch.cat([own, tokens], dim=1), biases).split(
            [CARRIERS**2, self.window**2], dim=1
        )
        own = own.reshape(n, rows, columns, CARRIERS, CARRIERS, dim)
        return tokens, own.transpose(2, 3)


class HierarchicalStage(nn.Module):
    """Blocks of windows with or without carriers on a map of any size."""

    def __init__(
        self, dim: int, heads: int, window: int, rates: list[float], *, carried: bool
    ) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            HierarchicalBlock(dim, heads, window, rate, carried=carried) for rate in rates
        )
        self.summary = nn.Conv2d(dim, dim, 3, padding=1, groups=dim) if carried else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        side = self.window
        n, dim, height, width = x.shape
        over_y, over_x = (side - height % side) % side, (side - width % side) % side
        x = F.pad(x, (0, over_x, 0, over_y), mode="replicate")
        rows, columns = (height + over_y) // side, (width + over_x) // side
        tokens = self._cut(x, rows, columns).flatten(2).transpose(1, 2)
        carriers = tokens
        if self.summary is not None:
            # Two bins in each direction; where the side is odd they share a row or column.
            windows = self._cut(self.summary(x), rows, columns)
            means = F.avg_pool2d(windows, (side + 1) // CARRIERS, stride=side // CARRIERS)
            means = means.reshape(n, rows, columns, dim, CARRIERS, CARRIERS)
            carriers = means.permute(0, 1, 4, 2, 5, 3)
        for block in self.blocks:
            tokens, carriers = block(tokens, carriers)
        windows = tokens.transpose(1, 2).reshape(-1, dim, side, side)
        if self.summary is not None:
            means = carriers.permute(0, 1, 3, 5, 2, 4).reshape(-1, dim, CARRIERS, CARRIERS)
            windows = windows + F.interpolate(means, size=(side, side), mode="nearest")
        windows = windows.reshape(n, rows, columns, dim, side, side)
        x = windows.permute(0, 3, 1, 4, 2, 5).reshape(n, dim, height + over_y, width + over_x)
        return x[:, :, :height, :width]

    def _cut(self, x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """`(N, C, rows * side, columns * side)` to `(N * rows * columns, C, side, side)`."""
        n, dim, _, _ = x.shape
        cut = x.reshape(n, dim, rows, self.window, columns, self.window)
        return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, dim, self.window, self.window)


class Downsample(nn.Module):
    """Layer norm over the channels, then a 3 × 3 convolution of stride 2."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(dim)
        self.conv = nn.Conv2d(dim, dim_out, 3, stride=2, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, dim, H, W)` to `(N, dim_out, H/2, W/2)`."""
        out: torch.Tensor = self.conv(self.norm(x))
        return out


class FasterViT(StagedEncoder):
    """The body: an image to maps of strides 2, 4, 8, 16 and 32.

    Args:
        variant: the size.
        depth: number of halvings; 5 keeps all four stages.
        drop_path: the share of residual branches that training skips in the last block, growing
            linearly from 0 in the first.
        window: side of an attention window in tokens, at least 4.
    """

    def __init__(
        self,
        variant: FasterViTVariant,
        depth: int = 5,
        drop_path: float = 0.0,
        window: int = WINDOW,
    ) -> None:
        super().__init__()
        if window < 2 * CARRIERS:
            raise ModelError(
                f"got the attention window {window}; expected at least {2 * CARRIERS}",
                hint="7 is the paper's, 8 divides the maps of images of 256 or 512 pixels",
            )
        widths = variant.widths[: depth - 1]
        self.out_channels = [3, widths[0], *widths]
        self.output_stride = 2**depth
        self.stem = Stem(widths[0])
        self.stages = nn.ModuleList()
        done, total = 0, sum(variant.blocks)
        for index, width in enumerate(widths):
            count = variant.blocks[index]
            rates = [drop_path * (done + i) / (total - 1) for i in range(count)]
            done += count
            if index < 2:
                body: nn.Module = nn.Sequential(*(ConvBlock(width, rate) for rate in rates))
            else:
                heads = variant.heads[index - 2]
                body = HierarchicalStage(width, heads, window, rates, carried=index == 2)
            down = Downsample(widths[index - 1], width) if index else nn.Identity()
            self.stages.append(nn.Sequential(down, body))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class FasterViTClassifier(FasterViT):
    """The whole ImageNet classifier."""

    def __init__(self, variant: FasterViTVariant, classes: int = 1000) -> None:
        super().__init__(variant)
        self.norm = nn.BatchNorm2d(variant.widths[-1])
        self.head = nn.Linear(variant.widths[-1], classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`(N, 3, H, W)` to logits `(N, classes)`."""
        pooled = self.norm(super().forward(images)[-1]).mean(dim=(2, 3))
        logits: torch.Tensor = self.head(pooled)
        return logits


FAMILY = Family(VARIANTS, FasterViT, FasterViTClassifier, OPTIONS)
build, classifier = FAMILY.build, FAMILY.classifier
