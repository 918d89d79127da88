"""A graph read, simplified, run and written computes what the file computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from buildext.errors import ModelError
from buildext.learn.compress.ir.graph import Graph, read_graph, write_graph
from buildext.learn.compress.ir.interpreter import TorchGraph
from buildext.learn.compress.ir.operators import compute
from buildext.learn.compress.ir.simplify import simplify
from buildext.models.store import Model


def by_onnxruntime(path: Path, image: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    return np.asarray(session.run(None, {"image": image})[0])


def test_running_in_torch_is_running_the_file(
    hybrid: Graph, hybrid_file: Path, tiny_model: Model, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2, 3, 64, 96), dtype=np.uint8)
    for graph, path in (
        (hybrid, hybrid_file),
        (simplify(read_graph(tiny_model.weights)), tiny_model.weights),
    ):
        wanted = by_onnxruntime(path, image)
        with torch.no_grad():
            got = TorchGraph(graph).run(torch.from_numpy(image))[graph.output_name]
        np.testing.assert_allclose(got.numpy(), wanted, atol=1e-5)
        write_graph(graph, tmp_path / "again.onnx")
        np.testing.assert_allclose(
            by_onnxruntime(tmp_path / "again.onnx", image), wanted, atol=1e-5
        )


def test_simplifying_leaves_no_batch_norm_and_no_constant_work(hybrid: Graph) -> None:
    assert "BatchNormalization" not in {node.op for node in hybrid.nodes}
    for node in hybrid.nodes:
        assert any(name and name not in hybrid.constants for name in node.inputs), node.name


def test_an_unknown_operation_is_an_error() -> None:
    with pytest.raises(ModelError, match="'Unheard'"):
        compute("Unheard", [torch.zeros(1)], {})


def test_a_file_that_is_no_network_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        read_graph(path)
