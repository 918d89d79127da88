"""Choosing an engine by name."""

from __future__ import annotations

import importlib.util
import logging

from buildext.engines.base import Engine
from buildext.errors import UsageError
from buildext.models.store import Model

NAMES = ("auto", "openvino", "onnxruntime", "torch")
log = logging.getLogger(__name__)


def _auto(device: str) -> str:
    """torch where CUDA is asked for; else OpenVINO, else ONNX Runtime."""
    if device.startswith("cuda"):
        return "torch"
    return "openvino" if importlib.util.find_spec("openvino") else "onnxruntime"


def make_engine(
    model: Model,
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    tile_px: int,
    threads: int = 0,
    batch: int = 0,
) -> Engine:
    """Make the engine that runs a model.

    Args:
        model: the loaded model.
        engine: one of `NAMES`.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or a name of the engine's own.
        precision: `auto`, `f32`, `bf16` or `f16`.
        tile_px: height and width of the tiles.
        threads: CPU threads, 0 for all.
        batch: tiles at a time (for OpenVINO: in flight), 0 for the engine's choice.

    Raises:
        UsageError: unknown or not installed, or without that device or precision.
        ModelError: the engine cannot read the network.
    """
    if engine not in NAMES:
        raise UsageError(f"got the engine {engine!r}; expected one of {', '.join(NAMES)}")
    name = _auto(device) if engine == "auto" else engine
    if importlib.util.find_spec(name) is None:
        extra = "buildext[train]" if name == "torch" else name
        raise UsageError(
            f"the engine {name!r} is not installed", hint=f'pip install "{extra}" or --engine auto'
        )
    if "quantisation" in model.card.training and device.lower() in ("auto", "cpu"):
        _warn_of_saturation(model.card.name)
    if name == "openvino":
        from buildext.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(
            model.weights,
            tile_px,
            device=device,
            precision=precision,
            threads=threads,
            requests=batch,
            reuse=True,
        )
    if name == "onnxruntime":
        from buildext.engines.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(
            model.weights, tile_px, device=device, precision=precision, threads=threads
        )
    from buildext.engines.torch import TorchEngine

    return TorchEngine(
        model, tile_px, device=device, precision=precision, threads=threads, batch=batch
    )


def _warn_of_saturation(name: str) -> None:
    from buildext.engines.saturation import int8_saturates

    if int8_saturates():
        log.warning(
            "%s is quantised, and this processor adds int8 products in 16 bits (no VNNI): where "
            "sums overflow, buildings may be missed; the float model is safe",
            name,
        )
