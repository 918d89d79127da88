"""Patches: what single outputs of a convolution are made of.

An output of a convolution is the product of its weights with a patch of the map below. Where only
some outputs are wanted, their patches are cut out and nothing else is computed. A transposed
convolution is a plain one over a map that zeros were put between (Dumoulin and Visin, arXiv
1603.07285, chapter 4), with its kernel turned round.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from buildext.learn.compress.ir.graph import Node


def cut_patches(
    image: torch.Tensor,
    node: Node,
    kernel_hw: Sequence[int],
    out_hw: Sequence[int],
    places: torch.Tensor,
) -> torch.Tensor:
    """The patches below some outputs of a `Conv` or `ConvTranspose`.

    Args:
        image: `(B, C, H, W)`.
        node: the operation.
        kernel_hw: of its weights.
        out_hw: of its outputs.
        places: `(N,)`, numbers of outputs, counted over tiles, rows and columns.

    Returns:
        `(N, kh * kw, C)`.
    """
    strides = list(node.attributes.get("strides", [1, 1]))
    dilations = list(node.attributes.get("dilations", [1, 1]))
    pads = list(node.attributes.get("pads", [0, 0, 0, 0]))
    if node.op == "ConvTranspose":
        image, pads = _spread(image, strides, dilations, pads, kernel_hw, out_hw)
        strides = [1, 1]
    image = F.pad(image, (pads[1], pads[3], pads[0], pads[2]))
    height, width = out_hw
    tile, rest = places // (height * width), places % (height * width)
    ticks = [
        torch.arange(k, device=image.device) * d for k, d in zip(kernel_hw, dilations, strict=True)
    ]
    rows = (rest // width)[:, None] * strides[0] + ticks[0]
    cols = (rest % width)[:, None] * strides[1] + ticks[1]
    taken = image.permute(0, 2, 3, 1)[tile[:, None, None], rows[:, :, None], cols[:, None, :]]
    return taken.flatten(1, 2)


def _spread(
    image: torch.Tensor,
    strides: list[int],
    dilations: list[int],
    pads: list[int],
    kernel_hw: Sequence[int],
    out_hw: Sequence[int],
) -> tuple[torch.Tensor, list[int]]:
    """A map with zeros between its pixels, and the padding that a plain convolution needs."""
    batch, channels, height, width = image.shape
    sides = [(n - 1) * s + 1 for n, s in zip((height, width), strides, strict=True)]
    spread = image.new_zeros(batch, channels, *sides)
    spread[:, :, :: strides[0], :: strides[1]] = image
    reach = [(k - 1) * d for k, d in zip(kernel_hw, dilations, strict=True)]
    begin = [r - p for r, p in zip(reach, pads[:2], strict=True)]
    end = [out_hw[k] + reach[k] - begin[k] - sides[k] for k in range(2)]
    return spread, [*begin, *end]


def as_product(weight: torch.Tensor, node: Node) -> torch.Tensor:
    """Weights as the second factor of a product with patches, `(G, kh * kw * I, O / G)`."""
    groups = node.attributes.get("group", 1)
    if node.op == "ConvTranspose":
        weight = weight.flip(2, 3).transpose(0, 1)
    outputs, inputs = weight.shape[:2]
    apart = weight.reshape(groups, outputs // groups, inputs, -1)
    return apart.permute(0, 3, 2, 1).reshape(groups, -1, outputs // groups)


def by_group(patches: torch.Tensor, groups: int) -> torch.Tensor:
    """Patches `(N, k, C)` as the first factor, `(G, N, k * C / G)`."""
    number, ticks, channels = patches.shape
    apart = patches.reshape(number, ticks, groups, channels // groups)
    return apart.permute(2, 0, 1, 3).reshape(groups, number, -1)
