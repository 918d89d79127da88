"""ONNX Runtime on the CPU: the portable engine, for processors and systems without OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from buildext.engines.base import EngineInfo, FloatArray, Key, UInt8Array, stream_in_batches
from buildext.errors import ModelError, UsageError


class OnnxRuntimeEngine:
    """Runs an ONNX model through ONNX Runtime's CPU provider, in float32.

    Args:
        weights: the ONNX file.
        tile_px: not needed to compile; kept so that all engines are made alike.
        device: `auto` or `cpu`.
        precision: `auto` or `f32` (ONNX Runtime has no bf16 convolution).
        threads: number of threads; 0 takes all.

    Raises:
        UsageError: another device or precision was asked for.
        ModelError: the network cannot be read.
    """

    def __init__(
        self,
        weights: Path,
        tile_px: int,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
    ) -> None:
        import onnxruntime

        if device not in ("auto", "cpu") or precision not in ("auto", "f32"):
            raise UsageError(
                f"got device {device!r} and precision {precision!r}; ONNX Runtime runs here on the "
                "cpu in f32",
                hint="leave --device and --precision at auto",
            )
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                weights, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime raises classes of its own C++ binding with no common base but Exception.
            raise ModelError(
                f"ONNX Runtime cannot read {weights}: {str(error).splitlines()[0]}",
                hint="verify the model: buildext models verify",
            ) from error
        self._input = self._session.get_inputs()[0].name
        self.info = EngineInfo(
            name="onnxruntime",
            version=onnxruntime.__version__,
            device="cpu",
            precision="f32",
            threads=threads,
            tiles_in_flight=1,
        )

    def infer(self, batch: UInt8Array) -> FloatArray:
        """Probabilities `(N, K, H, W)` of a batch `(N, C, H, W)`."""
        outputs = [
            self._session.run(None, {self._input: np.ascontiguousarray(image[None])})[0]
            for image in batch
        ]
        return np.concatenate(outputs)

    def stream(
        self, jobs: Iterator[tuple[Key, UInt8Array | None]]
    ) -> Iterator[tuple[Key, FloatArray | None]]:
        """Probabilities of many tiles in the order of the jobs; see `Engine.stream`."""
        # One tile a run: ONNX Runtime spreads a single image over all threads already, and larger
        # batches were not faster on a CPU but need more memory.
        return stream_in_batches(self.infer, jobs, 1)
