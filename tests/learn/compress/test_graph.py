"""A graph read, simplified, run and written computes what the file computes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from buildext.errors import ModelError
from buildext.learn.compress.export import _trace
from buildext.learn.compress.ir.graph import Graph, read_graph, write_graph
from buildext.learn.compress.ir.interpreter import TorchGraph
from buildext.learn.compress.ir.operators import compute
from buildext.learn.compress.ir.simplify import simplify
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.networks.normalisation import Normalisation
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


class LayerScale(nn.Module):
    """A residual branch whose channels are scaled, and one that is scaled along its width."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 24, 3, 1, 1), nn.Conv2d(24, 24, 1)
        self.up = nn.ConvTranspose2d(24, 24, 2, 2, groups=3)
        self.gamma = nn.Parameter(torch.rand(24, 1, 1) + 0.5)
        self.along_width = nn.Parameter(torch.rand(48) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x + self.second(x) * self.gamma
        return (self.up(x) * self.gamma)[..., :48] * self.along_width


def test_scalings_of_channels_move_into_convolutions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = InferenceGraph(LayerScale().eval(), Normalisation())
    graph.training = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _trace(graph, torch.zeros(1, 3, 16, 24, dtype=torch.uint8), tmp_path / "model.onnx")
    read = read_graph(tmp_path / "model.onnx")
    made = simplify(read)
    # What is left: the normalisation's, and the one that is not by channel.
    assert [node.op for node in read.nodes].count("Mul") == 4
    assert [node.op for node in made.nodes].count("Mul") == 2
    image = torch.randint(0, 256, (2, 3, 16, 24), dtype=torch.uint8)
    before, after = (TorchGraph(g).run(image)[g.output_name] for g in (read, made))
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    write_graph(made, tmp_path / "made.onnx")
    np.testing.assert_allclose(
        by_onnxruntime(tmp_path / "made.onnx", image.numpy()), before.numpy(), atol=1e-5
    )


def test_an_unknown_operation_is_an_error() -> None:
    with pytest.raises(ModelError, match="'Unheard'"):
        compute("Unheard", [torch.zeros(1)], {})


def test_a_file_that_is_no_network_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        read_graph(path)
