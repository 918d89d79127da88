"""ONNX Runtime's static quantisation, as its documentation advises for QDQ.

Min-max intervals, weights for each channel and symmetric, activations asymmetric in uint8.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from buildext.learn.compress.ir.graph import Graph, write_graph


class _Reader:
    """Hands tiles out one by one, as the library wants them."""

    def __init__(self, name: str, tiles: NDArray[np.uint8]) -> None:
        self._rest = [{name: tile[None]} for tile in tiles]

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return self._rest.pop(0) if self._rest else None


def quantise_with_onnxruntime(graph: Graph, tiles: NDArray[np.uint8], path: Path) -> None:
    """Write the quantised graph to `path`.

    Args:
        graph: simplified.
        tiles: uint8 `(N, 3, H, W)`.
        path: of the ONNX file.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    plain = path.with_suffix(".float.onnx")
    write_graph(graph, plain)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantize_static(
                str(plain),
                str(path),
                _Reader(graph.input_name, tiles),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["Conv", "ConvTranspose", "MatMul", "Gemm"],
                extra_options={"WeightSymmetric": True},
            )
    finally:
        plain.unlink(missing_ok=True)
