"""Export: a trained network becomes one ONNX file that OpenVINO, ONNX Runtime and torch share.

The graph takes what a scene delivers, `image` uint8 `(N, 3, H, W)` RGB, and gives what the
blending wants, `probability` float32 `(N, K, H, W)`: normalisation and sigmoid are inside. Weights
are stored in 16 bits and cast to float32 at the beginning of the graph, which halves the file and
costs nothing at run time, since engines fold the casts when they load; a tensor with a number
beyond the range of 16 bits (a variance of large activations) stays in 32. Initialisers carry the
keys of the torch state dict and nothing is folded into them, so the same file can be loaded
strictly into the torch module again, for another engine or for fine-tuning.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.build import SegmentationNetwork
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.networks.loading import CONSTANT_PREFIX, INPUT_PREFIX
from buildext.learn.networks.normalisation import Normalisation

log = logging.getLogger(__name__)

OPSET = 17
# Between the file and torch with the same 16-bit weights: only the order of summation differs.
MAX_DIFFERENCE = 2e-3
_HALF_SUFFIX = ".float32"


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """Largest differences of a probability, by image size `NxCxHxW`.

    Attributes:
        engine: the exported file in ONNX Runtime against torch with the same 16-bit weights.
        rounding: the same file against torch with the trained 32-bit weights.
    """

    engine: dict[str, float]
    rounding: dict[str, float]


def export_onnx(
    network: SegmentationNetwork, normalisation: Normalisation, path: Path
) -> ExportCheck:
    """Write `network` to `path` and compare the file with the module.

    The module handed in is moved to the CPU and put in evaluation mode; its weights stay.

    Raises:
        ModelError: the exported file does not agree with the module to within 0.002.
    """
    import onnx

    network = network.eval().to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
    graph = InferenceGraph(network, normalisation).eval()
    # The exporter merges initialisers of equal value unless the outermost module says that it is
    # in training; every tensor must keep its own name, and only the children's mode matters.
    graph.training = True
    size = 2 * network.stride_divisor
    example = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
    _trace(graph, example, path)
    model = onnx.load(str(path))
    _name_and_halve(model, network.state_dict())
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return _check(graph, path, network.stride_divisor)


def _trace(graph: InferenceGraph, example: torch.Tensor, path: Path) -> None:
    """Write the raw graph with torch's tracing exporter.

    It is the elder of torch's two exporters, and says so in warnings, as well as which nodes it
    does not fold, whose shapes it does not infer and which of Python's decisions it freezes. The
    first two are wanted here, and `_check` judges at other sizes than the traced one. The
    younger one decomposes and folds layers on its way, after which the initialisers are no longer
    the state dict.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            graph,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["probability"],
            dynamic_axes={
                "image": {0: "N", 2: "H", 3: "W"},
                "probability": {0: "N", 2: "H", 3: "W"},
            },
            # Neither fold constants nor batch normalisation: weights keep their names and values.
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )


def _name_and_halve(model: object, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give initialisers their state-dict keys and store floats as float16 behind a Cast.

    Raises:
        ModelError: a tensor is not in the graph, so that the file would not fill the network
            again.
    """
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    assert isinstance(model, ModelProto)
    casts = []
    renamed: dict[str, str] = {}
    missing = {k for k in tensors if not k.endswith("num_batches_tracked")}
    for tensor in model.graph.initializer:
        old = tensor.name
        name = old.removeprefix("network.")
        if name == old:
            prefix = INPUT_PREFIX if old in ("scale", "offset") else CONSTANT_PREFIX
            tensor.name = renamed[old] = prefix + old
            continue
        if name not in tensors:
            tensor.name = renamed[old] = CONSTANT_PREFIX + name
            continue
        missing.discard(name)
        if not tensors[name].is_floating_point():
            tensor.name = renamed[old] = name
            continue
        if not _fits_half(tensors[name]):
            tensor.name = renamed[old] = name
            continue
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, name))
        renamed[old] = name + _HALF_SUFFIX
        casts.append(
            helper.make_node(
                "Cast", [name], [name + _HALF_SUFFIX], name=f"{name}.cast", to=TensorProto.FLOAT
            )
        )
    if missing:
        raise ModelError(
            f"{len(missing)} tensors take no part in the exported network, such as {min(missing)}",
            hint="a layer of this encoder does not survive the export; report it",
        )
    nodes = list(model.graph.node)
    for node in nodes:
        for i, used in enumerate(node.input):
            if used in renamed:
                node.input[i] = renamed[used]
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


def _fits_half(values: torch.Tensor) -> bool:
    """Whether all values, rounded to 16 bits, are still numbers."""
    return bool(values.half().isfinite().all())


def _check(graph: InferenceGraph, path: Path, divisor: int) -> ExportCheck:
    """Compare the file, run by ONNX Runtime, with the module at two sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    halved = copy.deepcopy(graph)
    with torch.no_grad():
        for tensor in halved.network.state_dict().values():
            if tensor.is_floating_point() and _fits_half(tensor):
                tensor.copy_(tensor.half().float())
    engine: dict[str, float] = {}
    rounding: dict[str, float] = {}
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in ((1, 3 * divisor, 3 * divisor), (2, 2 * divisor, 4 * divisor)):
        # A coarse random pattern, enlarged: images have areas and edges, not only noise.
        coarse = torch.rand(batch, 3, height // 8, width // 8, generator=generator)
        fine = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
        image = (255 * fine).to(torch.uint8)
        got = torch.from_numpy(session.run(["probability"], {"image": image.numpy()})[0])
        size = f"{batch}x3x{height}x{width}"
        with torch.no_grad():
            engine[size] = float((got - halved(image)).abs().max())
            rounding[size] = float((got - graph(image)).abs().max())
    worst = max(engine.values())
    log.info("exported %s: engine %.2g, 16-bit rounding %.2g", path, worst, max(rounding.values()))
    if worst > MAX_DIFFERENCE:
        raise ModelError(
            f"the exported network differs from the trained one by {worst:.3g} in probability; "
            f"expected at most {MAX_DIFFERENCE}",
            hint="a layer of this encoder does not survive the export; report it",
        )
    return ExportCheck(engine, rounding)
