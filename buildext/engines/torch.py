"""torch: the engine for GPUs, and the reference for the others.

The network is built from the card and its parameters are taken from the ONNX file, whose
initialisers carry the names of the state dict: one file of weights serves all engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from buildext.engines.base import (
    EngineInfo,
    FloatArray,
    Key,
    UInt8Array,
    stream_in_batches,
)
from buildext.errors import ModelError, UsageError
from buildext.models.store import Model


class TorchEngine:
    """Runs a model in torch: channels-last, with autocast in 16 bits where asked for.

    Args:
        model: card and weights.
        tile_px: not needed to compile; kept so that all engines are made alike.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:N`.
        precision: `auto` (f16 on CUDA, f32 on a CPU), `f32`, `bf16`, `f16`.
        threads: CPU threads, 0 for all.
        batch: tiles a batch, 0 for 16 on CUDA and 1 on a CPU.

    Raises:
        UsageError: there is no such device or precision, or the device has no bf16.
        ModelError: the weights do not fit the network of the card, or are quantised.
    """

    def __init__(
        self,
        model: Model,
        tile_px: int,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        batch: int = 0,
    ) -> None:
        import torch

        from buildext.learn.networks.arithmetic import has_bf16
        from buildext.learn.networks.build import load_network

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UsageError(
                f"got the device {device!r}, but torch sees no CUDA GPU", hint="use --device cpu"
            )
        if device != "cpu" and not device.startswith("cuda"):
            raise UsageError(f"got the device {device!r}; expected cpu, cuda or cuda:N for torch")
        dtypes = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
        if precision == "auto":
            precision = "f32" if device == "cpu" else "f16"
        if precision not in dtypes:
            raise UsageError(f"got the precision {precision!r}; expected auto, f32, bf16 or f16")
        if precision == "bf16" and not has_bf16(torch.device(device)):
            raise UsageError(
                "got the precision 'bf16', for which this device has no instructions",
                hint="use --precision auto",
            )
        if threads:
            torch.set_num_threads(threads)
        self._torch = torch
        self._device = torch.device(device)
        self._dtype = dtypes[precision]
        try:
            network: Any = load_network(model.card, model.weights).eval()
        except ModelError as error:
            if _is_quantised(model.weights):
                raise ModelError(
                    f"got the quantised model {model.card.name!r}; torch runs float models only",
                    hint="use --engine openvino, or the float model that it was made from",
                ) from error
            raise
        self._network: Any = network.to(self._device, memory_format=torch.channels_last)
        self._batch = batch or (1 if device == "cpu" else 16)
        self.info = EngineInfo(
            name="torch",
            version=torch.__version__,
            device=device,
            precision=precision,
            threads=torch.get_num_threads(),
            tiles_in_flight=self._batch,
        )

    def infer(self, batch: UInt8Array) -> FloatArray:
        """Probabilities `(N, K, H, W)` of a batch `(N, C, H, W)`."""
        torch = self._torch
        with (
            torch.inference_mode(),
            torch.autocast(
                self._device.type, dtype=self._dtype, enabled=self._dtype is not torch.float32
            ),
        ):
            images = torch.from_numpy(batch).to(self._device, memory_format=torch.channels_last)
            probability: FloatArray = self._network(images).float().cpu().numpy()
        return np.ascontiguousarray(probability)

    def stream(
        self, jobs: Iterator[tuple[Key, UInt8Array | None]]
    ) -> Iterator[tuple[Key, FloatArray | None]]:
        """Probabilities of many tiles in the order of the jobs; see `Engine.stream`."""
        return stream_in_batches(self.infer, jobs, self._batch)


def _is_quantised(weights: Path) -> bool:
    """Whether an ONNX file computes with integers between quantisers."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(weights, load_external_data=False)
    except (DecodeError, OSError):
        return False
    return any(node.op_type == "DequantizeLinear" for node in model.graph.node)
