"""What the operators of an exported network compute, in torch.

Definitions: ONNX operator schemas, opset 17. Every function takes the input tensors (None for one
that is left out) and the node's attributes, and gives a tensor or a tuple of tensors; those on
floats can be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from buildext.errors import ModelError
from buildext.learn.compress.ir import shaping, windows
from buildext.learn.compress.ir.graph import Node

Operator = Callable[[Sequence[Any], dict[str, Any]], Any]


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Operator:
    return lambda x, _: function(x[0])


def _binary(function: Callable[[Any, Any], torch.Tensor]) -> Operator:
    def compute(x: Sequence[Any], _: dict[str, Any]) -> torch.Tensor:
        first, second = together(x[0], x[1])
        return function(first, second)

    return compute


def together(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both on one device: sizes are counted on the CPU, pixels need not be."""
    if first.device != second.device:
        target = first.device if first.device.type != "cpu" else second.device
        return first.to(target), second.to(target)
    return first, second


def _divide(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    whole = not first.is_floating_point()
    return torch.div(first, second, rounding_mode="trunc" if whole else None)


def _clip(x: Sequence[Any], a: dict[str, Any]) -> torch.Tensor:
    low = x[1] if len(x) > 1 else None
    high = x[2] if len(x) > 2 else None
    return torch.clamp(
        x[0], None if low is None else float(low), None if high is None else float(high)
    )


def _hard_sigmoid(x: Sequence[Any], a: dict[str, Any]) -> torch.Tensor:
    return torch.clamp(a.get("alpha", 0.2) * x[0] + a.get("beta", 0.5), 0.0, 1.0)


def _gelu(x: Sequence[Any], a: dict[str, Any]) -> torch.Tensor:
    return F.gelu(x[0], approximate=a.get("approximate", "none"))


def _where(x: Sequence[Any], _: dict[str, Any]) -> torch.Tensor:
    first, second = together(x[1], x[2])
    return torch.where(x[0].to(first.device), first, second)


def _batch_norm(x: Sequence[Any], a: dict[str, Any]) -> torch.Tensor:
    return F.batch_norm(x[0], x[3], x[4], x[1], x[2], eps=a.get("epsilon", 1e-5))


def _layer_norm(x: Sequence[Any], a: dict[str, Any]) -> torch.Tensor:
    shape = x[0].shape[a.get("axis", -1) :]
    bias = x[2] if len(x) > 2 else None
    return F.layer_norm(x[0], list(shape), x[1], bias, a.get("epsilon", 1e-5))


def _instance_norm(x: Sequence[Any], a: dict[str, Any]) -> torch.Tensor:
    return F.instance_norm(x[0], weight=x[1], bias=x[2], eps=a.get("epsilon", 1e-5))


def _gemm(x: Sequence[Any], a: dict[str, Any]) -> torch.Tensor:
    first = x[0].T if a.get("transA") else x[0]
    second = x[1].T if a.get("transB") else x[1]
    product: torch.Tensor = a.get("alpha", 1.0) * (first @ second)
    return product if len(x) < 3 or x[2] is None else product + a.get("beta", 1.0) * x[2]


def _quantize(x: Sequence[Any], a: dict[str, Any]) -> torch.Tensor:
    values, scale, zero = x
    scale = along(scale, values, a.get("axis", 1))
    limits = torch.iinfo(zero.dtype)
    levels = torch.round(values / scale) + along(zero, values, a.get("axis", 1)).float()
    return torch.clamp(levels, limits.min, limits.max).to(zero.dtype)


def _dequantize(x: Sequence[Any], a: dict[str, Any]) -> torch.Tensor:
    levels, scale, zero = x
    shift = along(zero, levels, a.get("axis", 1)).float()
    steps: torch.Tensor = (levels.float() - shift) * along(scale, levels, a.get("axis", 1))
    return steps


def along(values: torch.Tensor, like: torch.Tensor, axis: int) -> torch.Tensor:
    """A scalar as it is, a vector shaped to lie along an axis of `like`, on its device."""
    values = values.to(like.device)
    if values.ndim == 0:
        return values
    shape = [1] * like.ndim
    shape[axis] = -1
    return values.reshape(shape)


OPERATORS: dict[str, Operator] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add),
    "And": _binary(torch.logical_and),
    "BatchNormalization": _batch_norm,
    "Ceil": _unary(torch.ceil),
    "Clip": _clip,
    "Cos": _unary(torch.cos),
    "CumSum": lambda x, _: torch.cumsum(x[0], int(x[1])),
    "DequantizeLinear": _dequantize,
    "Div": _binary(_divide),
    "Einsum": lambda x, a: torch.einsum(a["equation"], *x),
    "Elu": lambda x, a: F.elu(x[0], a.get("alpha", 1.0)),
    "Equal": _binary(torch.eq),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Floor": _unary(torch.floor),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "Greater": _binary(torch.gt),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(F.hardswish),
    "Identity": _unary(lambda x: x),
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda x, a: F.leaky_relu(x[0], a.get("alpha", 0.01)),
    "Less": _binary(torch.lt),
    "Log": _unary(torch.log),
    "MatMul": _binary(torch.matmul),
    "Max": _binary(torch.maximum),
    "Min": _binary(torch.minimum),
    "Mod": _binary(torch.remainder),
    "Mul": _binary(torch.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Or": _binary(torch.logical_or),
    "Pow": _binary(torch.pow),
    "QuantizeLinear": _quantize,
    "Reciprocal": _unary(torch.reciprocal),
    "Relu": _unary(torch.relu),
    "Sigmoid": _unary(torch.sigmoid),
    "Sign": _unary(torch.sign),
    "Sin": _unary(torch.sin),
    "Softmax": lambda x, a: torch.softmax(x[0], a.get("axis", -1)),
    "Softplus": _unary(F.softplus),
    "Sqrt": _unary(torch.sqrt),
    "Sub": _binary(torch.sub),
    "Tanh": _unary(torch.tanh),
    "Where": _where,
    **shaping.OPERATORS,
    **windows.OPERATORS,
}


def compute(op: str, inputs: Sequence[Any], attributes: dict[str, Any]) -> tuple[Any, ...]:
    """The outputs of one node.

    Raises:
        ModelError: the operator is not known here.
    """
    operator = OPERATORS.get(op)
    if operator is None:
        raise ModelError(
            f"the network has an operation {op!r}, which quantisation does not know",
            hint="report it, with the encoder's name",
        )
    made = operator(inputs, attributes)
    return tuple(made) if isinstance(made, (tuple, list)) else (made,)


def complete(node: Node) -> dict[str, Any]:
    """A node's attributes; a `Split` without sizes is told by its outputs into how many."""
    if node.op == "Split":
        return {**node.attributes, "parts": len(node.outputs)}
    return dict(node.attributes)
