"""Operators that move, cut and count values without computing any. See `operators`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Inputs = Sequence[Any]
Attributes = dict[str, Any]
# ONNX's numbers of element types that our graphs contain.
TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
}


def _numbers(values: torch.Tensor) -> list[int]:
    return [int(v) for v in values.reshape(-1).tolist()]


def _axes(x: Inputs, a: Attributes) -> list[int] | None:
    """Axes stand in an attribute up to opset 12 or 17, by operator, and in an input after."""
    if "axes" in a:
        return list(a["axes"])
    if len(x) > 1 and x[1] is not None:
        return _numbers(x[1])
    return None


def _cast(x: Inputs, a: Attributes) -> torch.Tensor:
    return x[0].to(TYPES[a["to"]])  # type: ignore[no-any-return]


def _concat(x: Inputs, a: Attributes) -> torch.Tensor:
    # Tables made on the way stand on the CPU; maps need not.
    device = next((value.device for value in x if value.device.type != "cpu"), x[0].device)
    return torch.cat([value.to(device) for value in x], dim=a["axis"])


def _constant(x: Inputs, a: Attributes) -> torch.Tensor:
    (value,) = a.values()
    return torch.from_numpy(np.array(value))


def _constant_of_shape(x: Inputs, a: Attributes) -> torch.Tensor:
    value = torch.from_numpy(np.array(a.get("value", np.zeros(1, np.float32)))).reshape(())
    return value.expand(_numbers(x[0])).clone()


def _depth_to_space(x: Inputs, a: Attributes) -> torch.Tensor:
    image: torch.Tensor = x[0]
    if a.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(image, a["blocksize"])
    batch, channels, height, width = image.shape
    block: int = a["blocksize"]
    depth = channels // block**2
    cells = image.reshape(batch, block, block, depth, height, width)
    return cells.permute(0, 3, 4, 1, 5, 2).reshape(batch, depth, height * block, width * block)


def _expand(x: Inputs, a: Attributes) -> torch.Tensor:
    image: torch.Tensor = x[0]
    shape = np.broadcast_shapes(tuple(image.shape), tuple(_numbers(x[1])))
    return image.expand(*shape)


def _flatten(x: Inputs, a: Attributes) -> torch.Tensor:
    axis = a.get("axis", 1)
    return x[0].reshape(int(np.prod(x[0].shape[:axis])), -1)  # type: ignore[no-any-return]


def _gather(x: Inputs, a: Attributes) -> torch.Tensor:
    data, indices = x
    axis = a.get("axis", 0) % data.ndim
    indices = torch.where(indices < 0, indices + data.shape[axis], indices).to(data.device)
    taken = torch.index_select(data, axis, indices.reshape(-1))
    return taken.reshape((*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]))


def _pad(x: Inputs, a: Attributes) -> torch.Tensor:
    pads = _numbers(x[1])
    value = float(x[2]) if len(x) > 2 and x[2] is not None else 0.0
    half = len(pads) // 2
    mode = a.get("mode", "constant")
    # torch counts from the last axis, each with its two ends together.
    both = [end for k in reversed(range(half)) for end in (pads[k], pads[half + k])]
    while both and both[-2:] == [0, 0]:
        both = both[:-2]
    if not both:
        return x[0]  # type: ignore[no-any-return]
    if mode == "constant":
        return F.pad(x[0], both, value=value)
    return F.pad(x[0], both, mode={"reflect": "reflect", "edge": "replicate"}[mode])


def _range(x: Inputs, a: Attributes) -> torch.Tensor:
    start, stop, step = (value.item() for value in x)
    return torch.arange(start, stop, step, dtype=x[0].dtype)


def _reduce(function: Any) -> Any:
    def compute(x: Inputs, a: Attributes) -> torch.Tensor:
        axes = _axes(x, a)
        keep = bool(a.get("keepdims", 1))
        if axes is None:
            axes = list(range(x[0].ndim))
        return function(x[0], dim=axes, keepdim=keep)  # type: ignore[no-any-return]

    return compute


def _reshape(x: Inputs, a: Attributes) -> torch.Tensor:
    sizes = _numbers(x[1])
    if not a.get("allowzero", 0):
        sizes = [x[0].shape[k] if size == 0 else size for k, size in enumerate(sizes)]
    return x[0].reshape(sizes)  # type: ignore[no-any-return]


def _shape(x: Inputs, a: Attributes) -> torch.Tensor:
    return torch.tensor(x[0].shape[a.get("start", 0) : a.get("end")], dtype=torch.int64)


def _slice(x: Inputs, a: Attributes) -> torch.Tensor:
    data, starts, ends = x[0], _numbers(x[1]), _numbers(x[2])
    axes = _numbers(x[3]) if len(x) > 3 and x[3] is not None else list(range(len(starts)))
    steps = _numbers(x[4]) if len(x) > 4 and x[4] is not None else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step > 0:
            place = [slice(None)] * data.ndim
            place[axis] = slice(start, end, step)
            data = data[tuple(place)]
            continue
        chosen = range(
            *slice(start, end if end >= -data.shape[axis] else None, step).indices(data.shape[axis])
        )
        data = torch.index_select(data, axis, torch.tensor(list(chosen), device=data.device))
    return data  # type: ignore[no-any-return]


def _split(x: Inputs, a: Attributes) -> tuple[torch.Tensor, ...]:
    axis = a.get("axis", 0)
    if len(x) > 1 and x[1] is not None:
        return torch.split(x[0], _numbers(x[1]), dim=axis)
    parts = a["parts"]
    return torch.split(x[0], -(-x[0].shape[axis] // parts), dim=axis)


def _squeeze(x: Inputs, a: Attributes) -> torch.Tensor:
    axes = _axes(x, a)
    return x[0].squeeze() if axes is None else x[0].squeeze(tuple(axes))  # type: ignore[no-any-return]


def _transpose(x: Inputs, a: Attributes) -> torch.Tensor:
    return x[0].permute(a.get("perm", tuple(reversed(range(x[0].ndim)))))  # type: ignore[no-any-return]


def _unsqueeze(x: Inputs, a: Attributes) -> torch.Tensor:
    data, axes = x[0], _axes(x, a) or []
    rank = data.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        data = data.unsqueeze(axis)
    return data  # type: ignore[no-any-return]


OPERATORS: dict[str, Any] = {
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "Range": _range,
    "ReduceL2": _reduce(torch.linalg.vector_norm),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": lambda x, _: torch.tensor(x[0].numel(), dtype=torch.int64),
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": lambda x, _: x[0].repeat(_numbers(x[1])),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
