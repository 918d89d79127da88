"""The exported file computes what the module computes, and gives its weights back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from buildext.learn.compress.export import MAX_DIFFERENCE, ExportCheck, export_onnx
from buildext.learn.networks.build import SegmentationNetwork, build_network
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.networks.loading import (
    load_strictly,
    normalisation_from_onnx,
    state_dict_from_onnx,
)
from buildext.learn.networks.normalisation import Normalisation
from buildext.models.card import NetworkSpec

CHANNELS = ("building", "contact")
NORMALISATION = Normalisation((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
Exported = tuple[SegmentationNetwork, Path, ExportCheck]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    torch.manual_seed(0)
    spec = NetworkSpec(
        encoder="tu-tf_mobilenetv3_small_minimal_100",
        decoder_channels=(16, 16, 8, 8),
        head="subpixel",
    )
    network = build_network(spec, CHANNELS)
    # Statistics that differ from each other, as after a training.
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(0, 0.05)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    return network, path, export_onnx(network, NORMALISATION, path)


def test_the_check_ran_at_two_sizes_and_is_small(exported: Exported) -> None:
    check = exported[2]
    assert len(check.engine) == len(check.rounding) == 2
    assert max(check.engine.values()) < MAX_DIFFERENCE
    assert 0 < max(check.rounding.values()) < 0.02


def test_input_and_output_are_as_engines_expect(exported: Exported) -> None:
    session = onnxruntime.InferenceSession(str(exported[1]))
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("image", "tensor(uint8)", ["N", 3, "H", "W"])
    assert (made.name, made.type) == ("probability", "tensor(float)")
    image = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 160), dtype=np.uint8)
    (probability,) = session.run(None, {"image": image})
    assert probability.shape == (3, 2, 64, 160)
    assert probability.min() >= 0
    assert probability.max() <= 1
    (alone,) = session.run(None, {"image": image[1:2]})
    np.testing.assert_allclose(alone[0], probability[1], atol=1e-5)


def test_weights_are_halves_named_as_in_the_state_dict(exported: Exported) -> None:
    network, path, _ = exported
    tensors = {t.name: t for t in onnx.load(str(path)).graph.initializer}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert name not in tensors
            continue
        assert tensors[name].data_type == onnx.TensorProto.FLOAT16
        assert tuple(tensors[name].dims) == tuple(value.shape)


def test_the_file_fills_a_fresh_network_strictly(exported: Exported) -> None:
    network, path, _ = exported
    fresh = build_network(network.spec, CHANNELS)
    load_strictly(fresh, state_dict_from_onnx(path), str(path))
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(str(path))
    (expected,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        got = InferenceGraph(fresh, normalisation_from_onnx(path)).eval()(image)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)


def test_the_normalisation_comes_back(exported: Exported) -> None:
    assert normalisation_from_onnx(exported[1]) == NORMALISATION


def test_tensors_of_equal_value_keep_their_own_names(
    tiny_spec: NetworkSpec, tmp_path: Path
) -> None:
    # Fresh batch norms all hold zeros and ones; the exporter would merge them.
    network = build_network(tiny_spec, CHANNELS)
    export_onnx(network, Normalisation(), tmp_path / "model.onnx")
    load_strictly(network, state_dict_from_onnx(tmp_path / "model.onnx"), "model.onnx")


def test_tensors_beyond_sixteen_bits_stay_in_thirty_two(
    tiny_spec: NetworkSpec, tmp_path: Path
) -> None:
    """Large activations are no error: their variances are weights like others."""
    torch.manual_seed(0)
    network = build_network(tiny_spec, CHANNELS)
    tensors = network.state_dict()
    large = next(name for name in tensors if name.endswith("running_var"))
    with torch.no_grad():
        tensors[large].fill_(1e5)
        tensors[large.replace("running_var", "weight")].fill_(300.0)
    check = export_onnx(network, Normalisation(), tmp_path / "model.onnx")
    assert max(check.engine.values()) < MAX_DIFFERENCE
    stored = {t.name: t for t in onnx.load(str(tmp_path / "model.onnx")).graph.initializer}
    types = {name: t.data_type for name, t in stored.items() if name in tensors}
    assert [n for n, t in types.items() if t == onnx.TensorProto.FLOAT] == [large]
    assert torch.equal(state_dict_from_onnx(tmp_path / "model.onnx")[large], tensors[large])
