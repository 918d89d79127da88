"""Export: a trained network becomes one ONNX file that OpenVINO, ONNX Runtime and torch share.

The graph takes what a scene delivers, `image` uint8 `(N, 3, H, W)` RGB, and gives what the
blending wants, `probability` float32 `(N, K, H, W)`: normalisation and sigmoid are inside. Weights
are stored in 16 bits and cast to float32 at the beginning of the graph, which halves the file and
costs nothing at run time, since engines fold the casts when they load. Initialisers carry the keys
of the torch state dict and nothing is folded into them, so the same file can be loaded strictly
into the torch module again, for another engine or for fine-tuning.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.build import SegmentationNetwork
from buildext.learn.networks.spec import Normalisation

log = logging.getLogger(__name__)

OPSET = 17
# Between the file and torch with the same 16-bit weights: only the order of summation differs.
MAX_DIFFERENCE = 2e-3
# Names of the initialisers that belong to the graph's input and not to the network.
INPUT_PREFIX = "input."
_HALF_SUFFIX = ".float32"


class InferenceGraph(nn.Module):
    """What is exported: normalisation, the network, sigmoid."""

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        scale = 255.0 * torch.tensor(normalisation.std)
        offset = torch.tensor(normalisation.mean) / torch.tensor(normalisation.std)
        self.register_buffer("scale", (1.0 / scale).reshape(1, 3, 1, 1))
        self.register_buffer("offset", offset.reshape(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 `(N, 3, H, W)` to float32 probabilities `(N, K, H, W)`."""
        return torch.sigmoid(self.network(image.float() * self.scale - self.offset))


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

    network = network.eval().to("cpu", torch.float32, memory_format=torch.contiguous_format)
    graph = InferenceGraph(network, normalisation).eval()
    # The exporter merges initialisers of equal value unless the outermost module says that it is
    # in training; every tensor must keep its own name, and only the children's mode matters.
    graph.training = True
    size = 2 * network.spec.stride_divisor
    example = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
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
    model = onnx.load(str(path))
    _rename_and_halve(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return _check(graph, path, network.spec.stride_divisor)


def state_dict_from_onnx(path: Path) -> dict[str, torch.Tensor]:
    """The network's tensors in an exported file, as float32, ready for `load_strictly`.

    Raises:
        ModelError: the file is no ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        model = onnx.load(str(path))
    except (DecodeError, OSError) as error:
        raise ModelError(
            f"got {path}, which cannot be read as ONNX: {error}",
            hint="export or fetch the model again",
        ) from error
    return {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in model.graph.initializer
        if not tensor.name.startswith(INPUT_PREFIX)
    }


def normalisation_from_onnx(path: Path) -> Normalisation:
    """The mean and standard deviation inside an exported file."""
    import onnx
    from onnx import numpy_helper

    arrays = {
        t.name: numpy_helper.to_array(t).astype(np.float64).ravel()
        for t in onnx.load(str(path)).graph.initializer
        if t.name.startswith(INPUT_PREFIX)
    }
    std = 1.0 / (255.0 * arrays[f"{INPUT_PREFIX}scale"])
    mean = arrays[f"{INPUT_PREFIX}offset"] * std
    red, green, blue = (round(float(v), 6) for v in mean)
    red_s, green_s, blue_s = (round(float(v), 6) for v in std)
    return Normalisation((red, green, blue), (red_s, green_s, blue_s))


def _rename_and_halve(model: object) -> None:
    """Give initialisers their state-dict keys and store them as float16 behind a Cast."""
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    assert isinstance(model, ModelProto)
    casts = []
    renamed: dict[str, str] = {}
    for tensor in model.graph.initializer:
        old = tensor.name
        if not old.startswith("network."):
            tensor.name = renamed[old] = INPUT_PREFIX + old
            continue
        name = old.removeprefix("network.")
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if not np.isfinite(half).all():
            raise ModelError(
                f"the tensor {name} has values beyond 16-bit float", hint="train it again"
            )
        tensor.CopyFrom(numpy_helper.from_array(half, name))
        renamed[old] = name + _HALF_SUFFIX
        casts.append(
            helper.make_node(
                "Cast", [name], [name + _HALF_SUFFIX], name=f"{name}.cast", to=TensorProto.FLOAT
            )
        )
    nodes = list(model.graph.node)
    for node in nodes:
        for i, used in enumerate(node.input):
            if used in renamed:
                node.input[i] = renamed[used]
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


def _check(graph: InferenceGraph, path: Path, divisor: int) -> ExportCheck:
    """Compare the file, run by ONNX Runtime, with the module at two sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    halved = copy.deepcopy(graph)
    with torch.no_grad():
        for tensor in halved.network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    engine: dict[str, float] = {}
    rounding: dict[str, float] = {}
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in ((1, 4 * divisor, 4 * divisor), (2, 3 * divisor, 8 * divisor)):
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
