"""OpenVINO on the CPU: the default engine.

The network is compiled once for one tile size, and every tile is its own inference request: several
requests in flight keep all cores busy, and since each is computed by the same compiled graph, the
result of a tile cannot depend on how many run beside it. What was compiled
can be kept for the next run (`cache`).
"""

from __future__ import annotations

import functools
import logging
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from buildext.engines.base import (
    EngineInfo,
    FloatArray,
    Key,
    UInt8Array,
    is_out_of_memory,
)
from buildext.engines.cache import forget, keep, key_of, recall
from buildext.errors import ModelError, ResourceError, UsageError
from buildext.models.store import sha256_of

log = logging.getLogger(__name__)


def import_openvino() -> Any:
    """The module, which does not report home."""
    # OpenVINO reports its own import to a server unless its telemetry package is missing; with the
    # entry None the import of that package fails and OpenVINO falls back to its silent stub.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def shared_core() -> Any:
    """OpenVINO's core, made once and kept until the process ends.

    Its CPU plugin gives the thread that loads it an alternate signal stack, and takes it back from
    whichever thread frees the last reference. Were that one of the pipeline's threads, the main
    thread would be left with a stack that is unmapped, and die of its next signal.
    """
    return import_openvino().Core()


def describe_devices() -> str:
    """Devices that OpenVINO has here, each with what it can compute in."""
    core = shared_core()
    return "; ".join(
        f"{name} ({', '.join(core.get_property(name, 'OPTIMIZATION_CAPABILITIES'))})"
        for name in core.available_devices
    )


def best_precision(device: str) -> str:
    """The fastest faithful precision of a device: `bf16` where it has it, else `f32`."""
    able = shared_core().get_property(device, "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in able else "f32"


def compile_settings(device: str, precision: str, threads: int) -> dict[str, Any]:
    """What a network is compiled with: `f32` or `bf16`, on a processor with 0 (all) threads or so
    many."""
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": precision,
    }
    if device == "CPU":
        # The pipeline's own threads read, blend and polygonise beside the network: the
        # scheduler must be free to move an inference thread to the core that is idle.
        config["ENABLE_CPU_PINNING"] = False
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
    return config


def _kept_or_compiled(weights: Path, tile_px: int, device: str, config: dict[str, Any]) -> Any:
    """The network from an earlier run, or as `_compile` makes it now, which is kept.

    Raises:
        ModelError, ResourceError: see `_compile`.
    """
    openvino, core = import_openvino(), shared_core()
    processor = core.get_property(device, "FULL_DEVICE_NAME")
    abilities = sorted(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
    key = key_of(
        openvino.__version__,
        processor,
        abilities,
        core.get_property(device, "RANGE_FOR_STREAMS"),
        sha256_of(weights),
        tile_px,
        config,
    )
    kept = recall(key)
    if kept is not None:
        try:
            return core.import_model(kept, device, config)
        except RuntimeError as error:
            log.info("a compiled network is of no use here and is made again: %s", error)
            forget(key)
    compiled = _compile(weights, tile_px, device, config)
    if "EXPORT_IMPORT" in abilities:
        keep(key, compiled.export_model().getvalue())
    return compiled


def _compile(weights: Path, tile_px: int, device: str, config: dict[str, Any]) -> Any:
    """The network compiled for a device and tile size.

    Raises:
        ModelError: the network cannot be read.
        ResourceError: memory ran out.
    """
    core = shared_core()
    try:
        model = core.read_model(weights)
        channels = model.input(0).get_partial_shape()[1].get_length()
        model.reshape([1, channels, tile_px, tile_px])
    except RuntimeError as error:
        raise ModelError(
            f"OpenVINO cannot read {weights}: {str(error).splitlines()[0]}",
            hint="verify the model: buildext models verify",
        ) from error
    try:
        return core.compile_model(model, device, config)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise ResourceError(
                f"memory ran out while the network was compiled for tiles of {tile_px} px",
                hint="choose a smaller --tile",
            ) from error
        raise


class OpenVinoEngine:
    """Runs an ONNX model through OpenVINO.

    Args:
        weights: the ONNX file.
        tile_px: the one tile size that `infer` and `stream` take.
        device: `auto`, `cpu` or any OpenVINO device name, such as `GPU`.
        precision: `auto` (bf16 where the processor has it), `f32` or `bf16`.
        threads: number of CPU threads; 0 takes all.
        requests: tiles in flight; 0 lets OpenVINO's optimum stand, and two more, so that a
            finished one never leaves a core idle while its result is blended.
        reuse: take the compiled network from an earlier run and keep it for the next. For the ONNX
            file of a model, which is all there is to it; networks made for one look would only
            drive others out.

    Raises:
        UsageError: the device or precision is not there.
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
        requests: int = 0,
        reuse: bool = False,
    ) -> None:
        openvino, core = import_openvino(), shared_core()
        name = "CPU" if device in ("auto", "cpu") else device.upper()
        if name.split(".")[0] not in {found.split(".")[0] for found in core.available_devices}:
            raise UsageError(
                f"got the device {device!r}; OpenVINO has {', '.join(core.available_devices)} here",
                hint="use --device cpu",
            )
        best = best_precision(name)
        if precision == "auto":
            precision = best
        if precision not in ("f32", best):
            raise UsageError(
                f"got the precision {precision!r}, which this device does not have in OpenVINO",
                hint="use --precision auto",
            )
        make = _kept_or_compiled if reuse else _compile
        self._compiled = make(weights, tile_px, name, compile_settings(name, precision, threads))
        optimum = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._requests = [
            self._compiled.create_infer_request() for _ in range(requests or optimum + 2)
        ]
        self.info = EngineInfo(
            name="openvino",
            version=openvino.__version__.split("-")[0],
            device=name.lower(),
            precision=precision,
            threads=int(self._compiled.get_property("INFERENCE_NUM_THREADS"))
            if name == "CPU"
            else 0,
            tiles_in_flight=len(self._requests),
        )

    def infer(self, batch: UInt8Array) -> FloatArray:
        """Probabilities `(N, K, H, W)` of a batch `(N, C, H, W)`, tile by tile."""
        keyed = ((index, image) for index, image in enumerate(batch))
        return np.stack([result.copy() for _, result in self.stream(keyed) if result is not None])

    def stream(
        self, jobs: Iterator[tuple[Key, UInt8Array | None]]
    ) -> Iterator[tuple[Key, FloatArray | None]]:
        """Probabilities of many tiles in the order of the jobs; see `Engine.stream`."""
        idle = deque(self._requests)
        under_way: deque[tuple[Key, Any]] = deque()

        def take() -> Iterator[tuple[Key, FloatArray | None]]:
            key, request = under_way.popleft()
            if request is None:
                yield key, None
                return
            try:
                request.wait()
            except RuntimeError as error:
                self._rerun_alone(request, [other for _, other in under_way if other], error)
                # Half as many tiles in flight from now on, but never none.
                for _ in range(min(len(idle), len(self._requests) // 2)):
                    self._requests.remove(idle.pop())
            yield key, request.get_output_tensor(0).data[0]
            idle.append(request)

        try:
            for key, image in jobs:
                if image is None:
                    under_way.append((key, None))
                else:
                    while not idle:
                        yield from take()
                    request = idle.popleft()
                    request.get_input_tensor(0).data[0] = image
                    request.start_async()
                    under_way.append((key, request))
                # Results that are ready and jobs that only pass through need not wait.
                while under_way and under_way[0][1] is None:
                    yield from take()
            while under_way:
                yield from take()
        finally:
            # The caller may stop early; a request must not write into freed memory.
            for _, request in under_way:
                if request is not None:
                    request.wait()

    def _rerun_alone(self, request: Any, others: list[Any], error: RuntimeError) -> None:
        """Infer a tile again for which memory ran out beside others."""
        if not is_out_of_memory(error):
            raise error
        for other in others:
            other.wait()
        try:
            request.infer()
        except RuntimeError as again:
            raise ResourceError(
                "memory ran out on a single tile", hint="choose a smaller --tile"
            ) from again
        log.warning("memory ran out with %d tiles in flight; going on with fewer", 1 + len(others))
