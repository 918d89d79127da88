"""NNCF's post-training quantisation, OpenVINO's own answer.

Its preset `mixed` (activations asymmetric, weights symmetric) and its fast bias correction, on the
ONNX file. NNCF and OpenVINO report their use to a server unless their telemetry package is missing;
here it is.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.learn.compress.ir.graph import Graph, write_graph


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
