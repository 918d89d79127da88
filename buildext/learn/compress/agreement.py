"""Whether engines compute what was simulated.

The file and the simulation round alike, but sums are added in another order, and a value that lies
between two levels may fall to the other one; from there the difference goes on through the network.
So single pixels differ, while the mean over a tile must not: above `MAX_MEAN` something else is
wrong, such as a kernel that saturates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from buildext.engines.onnxruntime import OnnxRuntimeEngine
from buildext.engines.openvino import OpenVinoEngine
from buildext.engines.saturation import int8_saturates
from buildext.errors import ModelError
from buildext.learn.compress.plan import Plan, Simulation

# Of probabilities.
MAX_MEAN = 0.01
TILES = 4


@dataclass(frozen=True, slots=True)
class Agreement:
    """Differences of probabilities from the simulation, over a few tiles.

    Attributes:
        openvino_mean, openvino_largest: at a fixed tile size, in f32 where not in int8.
        onnxruntime_mean, onnxruntime_largest: at the same size.
        decided_otherwise: share of pixels that OpenVINO puts on the other side of 0.5.
    """

    openvino_mean: float
    openvino_largest: float
    onnxruntime_mean: float
    onnxruntime_largest: float
    decided_otherwise: float


def check_agreement(plan: Plan, path: Path, tiles: NDArray[np.uint8]) -> Agreement:
    """Run a plan and its file on a few tiles.

    Raises:
        ModelError: an engine is off by more than 0.01 on average.
    """
    few = np.ascontiguousarray(tiles[:TILES])
    side = few.shape[-1]
    wanted = Simulation(plan)(torch.from_numpy(few)).numpy()
    vino = OpenVinoEngine(path, side, precision="f32").infer(few)
    portable = OnnxRuntimeEngine(path, side).infer(few)
    by_vino, by_portable = np.abs(vino - wanted), np.abs(portable - wanted)
    found = Agreement(
        openvino_mean=float(by_vino.mean()),
        openvino_largest=float(by_vino.max()),
        onnxruntime_mean=float(by_portable.mean()),
        onnxruntime_largest=float(by_portable.max()),
        decided_otherwise=float(((vino >= 0.5) != (wanted >= 0.5)).mean()),
    )
    for engine, mean in (("OpenVINO", by_vino.mean()), ("ONNX Runtime", by_portable.mean())):
        if mean > MAX_MEAN:
            raise ModelError(
                f"{engine} differs from the simulation by {mean:.3g} in probability on average; "
                f"expected at most {MAX_MEAN}",
                hint="this processor adds int8 products in 16 bits; quantise on one with VNNI"
                if int8_saturates()
                else "report it, with the encoder's name and the processor",
            )
    return found
