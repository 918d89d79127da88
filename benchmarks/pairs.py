"""Does an encoder work under a decoder? One check for the tests and for `make matrix`.

A pair works if the network built from it

1. comes out the same twice from the same seed;
2. gives logits of the image's size and, at a non-square size, a finite gradient to every parameter,
   in a batch of one;
3. takes an image whose sides are no multiples of its stride divisor;
4. is exported, and ONNX Runtime computes what torch computes, at sizes other than the traced one;
5. OpenVINO does too;
6. fills a fresh network from the exported file, key by key.

Batch norms first take most of the statistics of one batch. With the initial ones deep networks
answer every image with the same number, and everything agrees with everything; with those of a
small batch alone some amplify the rounding of 32-bit arithmetic until nothing agrees. The head is
scaled to logits of deviation one: those in the hundreds would hide a difference or blow it up.
What starts at zero, such as tables of position biases, gets other values: a wrong place in a table
of zeros would not be seen.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from buildext.errors import ModelError
from buildext.learn.compress.export import export_onnx
from buildext.learn.networks.build import SegmentationNetwork, build_network
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.networks.loading import load_strictly, state_dict_from_onnx
from buildext.learn.networks.macs import count_macs, count_parameters
from buildext.learn.networks.normalisation import Normalisation
from buildext.models.card import NetworkSpec

CHANNELS = ("building", "contact")
# Of a probability, between engines.
TOLERANCE = 2e-3
# A network that answers every pixel alike agrees with every other one.
LEAST_SPREAD = 1e-3


class PairError(AssertionError):
    """A pair that was built does not do what every pair must."""


@dataclass(frozen=True, slots=True)
class PairReport:
    """What was measured on the way.

    Attributes:
        parameters: of the whole network.
        onnxruntime: largest difference of a probability from torch.
        openvino: the same.
        macs: multiply-accumulates for one image of 256 x 256 pixels.
    """

    parameters: int
    onnxruntime: float
    openvino: float
    macs: int


def check_pair(spec: NetworkSpec) -> PairReport:
    """Build the network of `spec` and put it through everything.

    Raises:
        ModelError: the pair is refused.
        PairError: naming what it does not do.
    """
    network, twin = seeded(spec), seeded(spec)
    macs = count_macs(twin, 256, 256)
    for (name, one), two in zip(
        network.state_dict().items(), twin.state_dict().values(), strict=True
    ):
        expect(torch.equal(one, two), f"two seeded builds differ in {name}")
    learn_once(network)
    with torch.no_grad():
        odd = network.eval()(torch.randn(1, 3, 57, 83))
    expect(odd.shape == (1, len(CHANNELS), 57, 83), f"an odd size gives {tuple(odd.shape)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            check = export_onnx(network, Normalisation(), path)
        except ModelError as error:
            raise PairError(str(error)) from error
        load_strictly(twin, state_dict_from_onnx(path), str(path))
        difference = compare_openvino(twin, path)
    engine = max(check.engine.values())
    return PairReport(count_parameters(network), engine, difference, macs)


def seeded(spec: NetworkSpec) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_network(spec, CHANNELS)


def learn_once(network: SegmentationNetwork) -> None:
    """One forward and backward pass in training mode on a single non-square image."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.5, generator=generator)
    side = max(network.stride_divisor, 64)
    image = torch.randn(1, 3, side, side + network.stride_divisor, generator=generator)
    # From a batch of two: pooled maps have one value an image.
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.9
    network.train()
    with torch.no_grad():
        network(torch.cat([image, image.flip(3)]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    with torch.no_grad():
        deviation = network.eval()(image).std().clamp(min=1e-3)
        for parameter in network.head.parameters():
            parameter.div_(deviation)
    network.train()
    logits = network(image)
    expect(
        logits.shape == (1, len(CHANNELS), *image.shape[2:]),
        f"an image {tuple(image.shape)} gives logits {tuple(logits.shape)}",
    )
    nn.functional.binary_cross_entropy_with_logits(logits, (image[:, :2] > 0).float()).backward()
    without = [k for k, p in network.named_parameters() if p.grad is None]
    expect(not without, f"{len(without)} parameters without a gradient: {without[:3]}")
    broken = [
        k
        for k, p in network.named_parameters()
        if p.grad is not None and not torch.isfinite(p.grad).all()
    ]
    expect(not broken, f"{len(broken)} parameters with an infinite gradient: {broken[:3]}")


def compare_openvino(network: SegmentationNetwork, path: Path) -> float:
    """Largest difference of a probability between the file in OpenVINO and the module."""
    # Its telemetry would report the import.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    divisor = network.stride_divisor
    image = (255 * torch.rand(1, 3, 2 * divisor, 3 * divisor)).to(torch.uint8)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    model = openvino.Core().read_model(path)
    # Fixed to one tile size, as the engine does.
    model.reshape([*image.shape])
    compiled = openvino.compile_model(model, "CPU", settings)
    got = compiled(image.numpy())[0]
    with torch.no_grad():
        expected = InferenceGraph(network, Normalisation()).eval()(image).numpy()
    difference = float(np.abs(got - expected).max())
    expect(difference <= TOLERANCE, f"OpenVINO differs by {difference:.2g}")
    spread = float(expected.std())
    expect(spread >= LEAST_SPREAD, f"probabilities spread by {spread:.2g} only: nothing is shown")
    return difference


def expect(condition: bool, problem: str) -> None:
    if not condition:
        raise PairError(problem)
