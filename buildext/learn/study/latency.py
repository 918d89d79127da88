"""Latency: how long one tile takes, measured apart from the trainings.

A training beside it would make any figure meaningless, so latency has a pass of its own, to be run
on a quiet machine. Weights do not matter for it: each network is built anew, exported, and timed in
buildext's own engine, as `buildext extract` would run it; a network that cannot be exported is
timed in torch instead, and the record says so. Tiles go one at a time, so this is latency; the
throughput of a whole scene is better than its inverse. The median of several runs is kept, after a
few to warm up. A network is measured once, whatever number of runs share it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from buildext.atomic import atomic_path
from buildext.errors import BuildextError
from buildext.learn.networks.build import SegmentationNetwork, build_network
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.stopwatch import median_ms
from buildext.learn.training.config import TrainingConfig

log = logging.getLogger(__name__)

TILE_PX = 512


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds for one tile of `tile_px`, and what measured them.

    Attributes:
        tile_px: side of the tile.
        cpu_ms: median on the processor.
        engine: that ran there, with version and precision.
        threads: of the processor.
        gpu_ms: median on the GPU in torch, bf16; None where there is none.
        gpu: its name.
    """

    tile_px: int
    cpu_ms: float
    engine: str
    threads: int
    gpu_ms: float | None = None
    gpu: str = ""


class LatencyStore:
    """Latencies of a study's networks, one small file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, network_key: str) -> Latency | None:
        """The latency of a network; None if it has not been measured."""
        try:
            text = self._path(network_key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Latency(**json.loads(text))

    def store(self, network_key: str, latency: Latency) -> None:
        """Keep a latency."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._path(network_key), overwrite=True) as temporary:
            values = json.dumps(dataclasses.asdict(latency), indent=1)
            temporary.write_text(values + "\n", encoding="utf-8")

    def _path(self, network_key: str) -> Path:
        return self._folder / f"{hashlib.sha256(network_key.encode()).hexdigest()[:16]}.json"


def measure_latency(config: TrainingConfig) -> Latency:
    """Time the network of a config on this machine.

    Raises:
        ModelError: the network cannot be built.
    """
    network = build_network(config.network.spec(), config.network.channels).eval()
    graph = InferenceGraph(network, config.network.normalisation()).eval()
    image = np.random.default_rng(0).integers(0, 256, (1, 3, TILE_PX, TILE_PX), np.uint8)
    gpu_ms, gpu = _on_gpu(graph, image)
    try:
        cpu_ms, engine, threads = _in_engine(network, config, image)
    except (BuildextError, RuntimeError) as error:
        log.warning("not measured in the engine but in torch: %s", error)
        cpu_ms, engine, threads = _in_torch(graph, image)
    return Latency(TILE_PX, cpu_ms, engine, threads, gpu_ms, gpu)


def _in_engine(
    network: SegmentationNetwork, config: TrainingConfig, image: np.ndarray
) -> tuple[float, str, int]:
    from buildext.engines.openvino import OpenVinoEngine
    from buildext.learn.compress.export import export_onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(network, config.network.normalisation(), path)
        engine = OpenVinoEngine(path, TILE_PX, threads=config.machine.threads, requests=1)
    info = engine.info
    name = f"{info.name} {info.version} {info.precision}"
    return median_ms(lambda: engine.infer(image)), name, info.threads


def _in_torch(graph: InferenceGraph, image: np.ndarray) -> tuple[float, str, int]:
    graph = graph.to("cpu", torch.float32)
    tensor = torch.from_numpy(image)

    @torch.inference_mode()
    def run() -> None:
        graph(tensor)

    return median_ms(run), f"torch {torch.__version__} f32", torch.get_num_threads()


def _on_gpu(graph: InferenceGraph, image: np.ndarray) -> tuple[float | None, str]:
    if not torch.cuda.is_available():
        return None, ""
    graph = graph.to("cuda").to(memory_format=torch.channels_last)
    tensor = torch.from_numpy(image).to("cuda")

    @torch.inference_mode()
    def run() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            graph(tensor)
        torch.cuda.synchronize()

    milliseconds = median_ms(run)
    graph.to("cpu")
    return milliseconds, torch.cuda.get_device_name()
