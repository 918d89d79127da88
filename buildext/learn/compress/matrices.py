"""Products of two computed tensors as stacks of matrices, however the graph writes them."""

from __future__ import annotations

import torch

from buildext.learn.compress.ir.graph import Node


def as_matrices(
    node: Node, first: torch.Tensor, second: torch.Tensor, made: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Both factors and what is shaped like the product, `(L, M, K)`, `(L, K, N)`, `(L, M, N)`.

    Args:
        node: a `MatMul` or an `Einsum` that is a product of matrices.
        first, second: its operands.
        made: its output, or a tensor of that shape.
    """
    if node.op == "Einsum":
        first, second, made = _ordered(str(node.attributes["equation"]), first, second, made)
    stack = made.shape[:-2]
    return (
        first.expand(*stack, *first.shape[-2:]).reshape(-1, *first.shape[-2:]),
        second.expand(*stack, *second.shape[-2:]).reshape(-1, *second.shape[-2:]),
        made.reshape(-1, *made.shape[-2:]),
    )


def _ordered(
    equation: str, first: torch.Tensor, second: torch.Tensor, made: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The axes of an `Einsum`, sorted into those of the stack, rows, inner ones and columns."""
    sources, result = equation.replace(" ", "").split("->")
    one, other = sources.split(",")
    stack = [k for k in result if k in one and k in other]
    rows = [k for k in result if k in one and k not in other]
    columns = [k for k in result if k in other and k not in one]
    inner = [k for k in one if k in other and k not in result]

    def moved(values: torch.Tensor, names: str, *parts: list[str]) -> torch.Tensor:
        order = [names.index(k) for part in (stack, *parts) for k in part]
        shape = [values.shape[k] for k in order[: len(stack)]]
        for part in parts:
            size = 1
            for k in part:
                size *= values.shape[names.index(k)]
            shape.append(size)
        return values.permute(order).reshape(shape)

    return (
        moved(first, one, rows, inner),
        moved(second, other, inner, columns),
        moved(made, result, rows, columns),
    )
