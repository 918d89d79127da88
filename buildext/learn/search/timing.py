"""Timing on the engine: whole networks, and single parts of them.

A whole network is exported and run as `buildext extract` would run it, one tile at a time. A part
(a stage, a decoder) is exported alone, with maps of floats for inputs, and compiled with the same
settings. The median of many runs counts; weights do not matter, so they are random ones.

On one thread the time is the processor's: on a quiet machine it is what a clock on the wall shows,
on a busy one it leaves out the time that other programs took (though not what they took of caches
and memory). With more threads only the wall clock tells how well they share the work, and such
times mean something on a quiet machine alone. A search measures while none of its trainings run.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from buildext.engines.openvino import (
    OpenVinoEngine,
    best_precision,
    compile_settings,
    shared_core,
)
from buildext.learn.compress.export import OPSET, export_onnx
from buildext.learn.compress.quantise import Recipe, quantise_file
from buildext.learn.networks.build import build_network
from buildext.learn.networks.normalisation import Normalisation
from buildext.learn.search.config import EngineSection
from buildext.learn.stopwatch import Clock, median_ms
from buildext.models.card import NetworkSpec

CALIBRATION_TILES, CALIBRATION_PX = 2, 128


@dataclass(frozen=True, slots=True)
class Timed:
    """A network on the engine.

    Attributes:
        latency_ms: median for one tile.
        int8_share: of the multiply-accumulates, once quantised; None where it was not asked for.
        engine: name, version, precision and threads.
    """

    latency_ms: float
    int8_share: float | None
    engine: str


def time_network(
    spec: NetworkSpec, channels: tuple[str, ...], engine: EngineSection, *, rounds: int, int8: bool
) -> Timed:
    """Export a network with random weights and run it.

    Args:
        spec: the architecture.
        channels: that it predicts.
        engine: what it runs on.
        rounds: so many medians are taken, and the least of them counts.
        int8: whether it is quantised, too, by min-max on noise: which layers then have int8
            kernels does not depend on the numbers.

    Raises:
        ModelError: it cannot be built or exported.
    """
    torch.manual_seed(0)
    network = build_network(spec, channels)
    tile_px = engine.tile_px
    image = np.random.default_rng(0).integers(0, 256, (1, 3, tile_px, tile_px), np.uint8)
    share = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(network, Normalisation(), path)
        runner = OpenVinoEngine(
            path, tile_px, precision=engine.precision, threads=engine.threads, requests=1
        )
        clock = clock_for(engine)
        best_ms = min(median_ms(lambda: runner.infer(image), clock) for _ in range(rounds))
        if int8:
            side = max(CALIBRATION_PX, 2 * network.stride_divisor)
            shape = (CALIBRATION_TILES, 3, side, side)
            tiles = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
            recipe = Recipe(method="min-max")
            made = quantise_file(
                path, tiles, recipe, network.stride_divisor, path.with_name("int8.onnx")
            )
            share = made.share.share
    info = runner.info
    name = f"{info.name} {info.version} {info.precision}, {info.threads} thread(s)"
    return Timed(best_ms, share, name)


def time_part(module: nn.Module, shapes: Sequence[tuple[int, ...]], engine: EngineSection) -> float:
    """Milliseconds of a part for inputs of these shapes."""
    core = shared_core()
    inputs = tuple(torch.rand(shape) for shape in shapes)
    named = {f"map{i}": value.numpy() for i, value in enumerate(inputs)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"
        with warnings.catch_warnings():
            # The tracing exporter announces its age, and freezes what does not change here.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                inputs,
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(named),
            )
        model = core.read_model(path)
    precision = best_precision("CPU") if engine.precision == "auto" else engine.precision
    settings = compile_settings("CPU", precision, engine.threads)
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    # What a decoder does not look at is no input of the graph.
    used = {port.any_name: named[port.any_name] for port in compiled.inputs}
    return median_ms(lambda: request.infer(used), clock_for(engine))


def clock_for(engine: EngineSection) -> Clock:
    """The processor's clock for one thread, the one on the wall for several."""
    return time.process_time if engine.threads == 1 else time.perf_counter
