"""How much of a network really runs in int8: read from OpenVINO's runtime graph.

A file full of quantisers promises nothing: where a kernel is missing, the engine computes in floats
without a word. After compilation OpenVINO tells for each layer it executes which of the file's
operations went into it and in which precision it runs. The share is counted in multiply-accumulate
operations, at the tile size of the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildext.engines.openvino import shared_core

INT8 = ("u8", "i8")


@dataclass(frozen=True, slots=True)
class Int8Share:
    """What runs in int8.

    Attributes:
        share: of the multiply-accumulates of convolutions and products, 0 to 1.
        macs: of one tile.
        in_floats: names of operations that run in floats, with their multiply-accumulates, the
            largest first.
    """

    share: float
    macs: int
    in_floats: tuple[tuple[str, int], ...]


def int8_share(path: Path, macs: dict[str, int], tile_px: int, precision: str = "f32") -> Int8Share:
    """Compile a file for the CPU and see what runs in int8.

    Args:
        path: ONNX or IR.
        macs: by name of the operation, see `work.site_macs`.
        tile_px: side of the tiles.
        precision: of what does not run in int8, `f32` or `bf16`.
    """
    core = shared_core()
    model = core.read_model(path)
    model.reshape([1, 3, tile_px, tile_px])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    whole = sum(macs.values())
    left = dict(macs)
    for layer in compiled.get_runtime_model().get_ops():
        info: Any = layer.get_rt_info()
        if _text(info, "runtimePrecision") in INT8:
            for name in _text(info, "originalLayersNames").split(","):
                # A convolution whose bias is added on its own is told by this ending.
                left.pop(name.removesuffix("/WithoutBiases"), None)
    in_floats = tuple(sorted(left.items(), key=lambda pair: -pair[1]))
    return Int8Share(1.0 - sum(left.values()) / whole, whole, in_floats)


def _text(info: Any, key: str) -> str:
    # OpenVINO's map knows `in` and `[]`, but no `get`.
    value = info[key] if key in info else ""  # noqa: SIM401
    return value if isinstance(value, str) else str(value.astype(str))
