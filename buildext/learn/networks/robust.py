"""Layers of the libraries, made to take any size of map and to be exported.

Three things stop some networks on maps of a few pixels or in an ONNX file:

- **Batch normalisation of a single value.** Global pooling leaves one pixel a channel; in a batch
  of one there is then no variance to normalise by, and torch stops with an error. Here such a
  map is normalised by the running statistics, which stay as they are.
- **Pooling to a fixed number of bins** (1, 2, 3 and 6 in the pyramid of PSPNet) has no counterpart
  in ONNX where the size of the map is open. It is a product with two averaging matrices, which
  are computed from the size.
- **A pyramid of three poolings** (PAN) needs a map of 8 x 8 pixels. Rounding sizes up instead of
  down lets it work on a single one.

Names and shapes of the parameters stay those of the library's modules.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.decoders.pan.decoder import FPABlock
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock
from torch import nn


class PointBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that falls back on its running statistics for a single value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same shape."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(x)


class BinnedAvgPool2d(nn.AdaptiveAvgPool2d):
    """Adaptive average pooling to a square of bins, as a product with averaging matrices."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C, bins, bins)`."""
        size = self.output_size
        bins = size[0] if isinstance(size, tuple) else size
        assert isinstance(bins, int)
        rows = averaging_matrix(x.shape[2], bins, x)
        columns = averaging_matrix(x.shape[3], bins, x)
        return torch.matmul(torch.matmul(rows, x), columns.transpose(0, 1))


def averaging_matrix(length: int, bins: int, like: torch.Tensor) -> torch.Tensor:
    """`(bins, length)`: bin `i` averages the cells from `i·length/bins` (rounded down) to
    `(i+1)·length/bins` (rounded up), as torch's adaptive pooling does."""
    cell = torch.arange(length, device=like.device)
    number = torch.arange(bins, device=like.device)[:, None]
    first = number * length // bins
    end = ((number + 1) * length + bins - 1) // bins
    inside = ((cell >= first) & (cell < end)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


class PyramidBlock(PSPBlock):  # type: ignore[misc]
    """One level of PSPNet's pyramid; the library's takes another way while it is exported."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, K, H, W)`."""
        return F.interpolate(self.pool(x), size=x.shape[2:], mode="bilinear", align_corners=True)


class RoundedUpMaxPool2d(nn.MaxPool2d):
    """Halving by maxima that rounds sizes up: the last row and column are doubled where odd.

    `ceil_mode` means the same, but OpenVINO does not take it for a map of one pixel.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C, ceil(H/2), ceil(W/2))`."""
        padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
        result: torch.Tensor = super().forward(padded)
        return result


class FeaturePyramidAttention(FPABlock):  # type: ignore[misc]
    """PAN's pyramid of three poolings, on maps of any size (Li et al. 2018, arXiv 1805.10180)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, K, H, W)`."""
        half = self.down1(x)
        quarter = self.down2(half)
        eighth = self.down3(quarter)
        y = self.conv2(quarter) + self._enlarge(eighth, quarter)
        y = self.conv1(half) + self._enlarge(y, half)
        y = self._enlarge(y, x) * self.mid(x)
        result: torch.Tensor = y + self._enlarge(self.branch1(x), x)
        return result

    def _enlarge(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return F.interpolate(
            x, size=like.shape[2:], mode=self.upscale_mode, align_corners=self.align_corners
        )


def make_robust(network: nn.Module) -> None:
    """Change the classes of the modules below `network`, in place; weights and keys stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = PointBatchNorm2d
        elif type(module) is nn.AdaptiveAvgPool2d and module.output_size not in (1, (1, 1)):
            module.__class__ = BinnedAvgPool2d
        elif type(module) is PSPBlock:
            module.__class__ = PyramidBlock
        elif type(module) is FPABlock:
            module.__class__ = FeaturePyramidAttention
            for pool in module.modules():
                if isinstance(pool, nn.MaxPool2d):
                    pool.__class__ = RoundedUpMaxPool2d
