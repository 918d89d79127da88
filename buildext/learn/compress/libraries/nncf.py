"""NNCF's post-training quantisation, OpenVINO's own answer.

Its preset `mixed` (activations asymmetric, weights symmetric) and its fast bias correction, on the
ONNX file. Activations whose levels it writes signed get unsigned ones, since OpenVINO computes
convolutions of signed ones behind a `Concat` wrongly (see `docs/quantize.md`).

NNCF and OpenVINO report their use to a server unless their telemetry package is missing; here it
is.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.learn.compress.ir.graph import Graph, read_graph, write_graph
from buildext.learn.compress.sites import PRODUCTS


def quantise_with_nncf(graph: Graph, tiles: NDArray[np.uint8], path: Path) -> None:
    """Write the quantised graph to `path`.

    Args:
        graph: simplified.
        tiles: uint8 `(N, 3, H, W)`.
        path: of the ONNX file.

    Raises:
        UsageError: NNCF is not installed.
    """
    if importlib.util.find_spec("nncf") is None:
        raise UsageError("NNCF is not installed", hint='pip install "buildext[quantize]"')
    # With the entry None the import of the package fails, and both fall back to a silent stub.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nncf

        plain = path.with_suffix(".float.onnx")
        write_graph(graph, plain)
        try:
            model = onnx.load(str(plain))
            made = nncf.quantize(
                model,
                nncf.Dataset([{graph.input_name: tile[None]} for tile in tiles]),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(tiles),
            )
            onnx.save(made, str(path))
        finally:
            plain.unlink(missing_ok=True)
    quantised = read_graph(path)
    use_unsigned_levels(quantised)
    write_graph(quantised, path)


def use_unsigned_levels(graph: Graph) -> None:
    """Let int8 activations be uint8 ones of the same values, but for operands of attention.

    Both operands of attention have int8 kernels only where they are symmetric and signed.
    """
    consumers, producers = graph.consumers(), graph.producers()

    def is_weight(name: str) -> bool:
        while name in producers and producers[name].op in ("QuantizeLinear", "DequantizeLinear"):
            name = producers[name].inputs[0]
        return name in graph.constants

    for node in graph.nodes:
        if node.op != "QuantizeLinear" or is_weight(node.inputs[0]):
            continue
        zero = graph.constants[node.inputs[2]]
        back = consumers.get(node.outputs[0], [])
        users = [user for made in back for user in consumers.get(made.outputs[0], [])]
        attends = any(u.op in PRODUCTS and not any(map(is_weight, u.inputs[:2])) for u in users)
        if zero.dtype != np.int8 or attends:
            continue
        name = graph.fresh(f"{node.name}.unsigned")
        graph.constants[name] = (zero.astype(np.int16) + 128).astype(np.uint8)
        for changed in (node, *back):
            changed.inputs[2] = name
