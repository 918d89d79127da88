"""Operators that slide a window over maps, or enlarge them. See `operators`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from buildext.errors import ModelError

Inputs = Sequence[Any]
Attributes = dict[str, Any]


def _padded(x: torch.Tensor, a: Attributes, value: float = 0.0) -> tuple[torch.Tensor, list[int]]:
    """The map with uneven padding laid on, and the even padding that is left to torch."""
    pads = list(a.get("pads", [0, 0, 0, 0]))
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise ModelError(
            f"got a layer with auto_pad {a['auto_pad']}; expected written-out padding",
            hint="export the model again",
        )
    half = len(pads) // 2
    begin, end = pads[:half], pads[half:]
    if begin == end:
        return x, begin
    both = [v for k in reversed(range(half)) for v in (begin[k], end[k])]
    return F.pad(x, both, value=value), [0] * half


def convolve(x: Inputs, a: Attributes) -> torch.Tensor:
    """`Conv` over `(N, C, H, W)`."""
    image, padding = _padded(x[0], a)
    bias = x[2] if len(x) > 2 else None
    return F.conv2d(
        image,
        x[1],
        bias,
        a.get("strides", [1, 1]),
        padding,
        a.get("dilations", [1, 1]),
        a.get("group", 1),
    )


def convolve_transposed(x: Inputs, a: Attributes) -> torch.Tensor:
    """`ConvTranspose` over `(N, C, H, W)`."""
    pads = list(a.get("pads", [0, 0, 0, 0]))
    extra = list(a.get("output_padding", [0, 0]))
    # More cut at the end than at the beginning is what torch calls negative output padding.
    extra = [extra[k] + pads[k] - pads[k + 2] for k in range(2)]
    bias = x[2] if len(x) > 2 else None
    return F.conv_transpose2d(
        x[0],
        x[1],
        bias,
        a.get("strides", [1, 1]),
        pads[:2],
        extra,
        a.get("group", 1),
        a.get("dilations", [1, 1]),
    )


def _max_pool(x: Inputs, a: Attributes) -> torch.Tensor:
    image, padding = _padded(x[0], a, -torch.inf)
    return F.max_pool2d(
        image,
        a["kernel_shape"],
        a.get("strides", [1, 1]),
        padding,
        a.get("dilations", [1, 1]),
        bool(a.get("ceil_mode", 0)),
    )


def _average_pool(x: Inputs, a: Attributes) -> torch.Tensor:
    counted = bool(a.get("count_include_pad", 0))
    image, padding = _padded(x[0], a)
    if image is not x[0] and not counted:
        raise ModelError(
            "got an average over unevenly padded windows that leaves the padding out",
            hint="report it, with the encoder's name",
        )
    return F.avg_pool2d(
        image,
        a["kernel_shape"],
        a.get("strides", [1, 1]),
        padding,
        bool(a.get("ceil_mode", 0)),
        counted,
    )


def _resize(x: Inputs, a: Attributes) -> torch.Tensor:
    image = x[0]
    scales = x[2] if len(x) > 2 and x[2] is not None and x[2].numel() else None
    sizes = x[3] if len(x) > 3 and x[3] is not None else None
    if sizes is not None:
        target = [int(v) for v in sizes.tolist()][2:]
    else:
        assert scales is not None
        sides = zip(image.shape[2:], scales.tolist()[2:], strict=True)
        target = [int(side * scale) for side, scale in sides]
    place = a.get("coordinate_transformation_mode", "half_pixel")
    mode = a.get("mode", "nearest")
    if mode == "nearest" and place == "asymmetric" and a.get("nearest_mode") == "floor":
        return F.interpolate(image, target, mode="nearest")
    if mode in ("linear", "cubic"):
        kind = {"linear": "bilinear", "cubic": "bicubic"}[mode]
        if place in ("half_pixel", "pytorch_half_pixel"):
            return F.interpolate(image, target, mode=kind, align_corners=False)
        if place == "align_corners":
            return F.interpolate(image, target, mode=kind, align_corners=True)
    raise ModelError(
        f"got a map resized by {mode} with {place}, which quantisation does not know",
        hint="report it, with the decoder's name",
    )


OPERATORS: dict[str, Any] = {
    "AveragePool": _average_pool,
    "Conv": convolve,
    "ConvTranspose": convolve_transposed,
    "GlobalAveragePool": lambda x, _: x[0].mean((2, 3), keepdim=True),
    "GlobalMaxPool": lambda x, _: x[0].amax((2, 3), keepdim=True),
    "MaxPool": _max_pool,
    "Resize": _resize,
}
