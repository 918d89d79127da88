"""The engine protocol: tiles in, probabilities out.

An engine runs one model on one device. Tiles come as uint8 `(C, H, W)`, because the normalisation
is part of the network file, and leave as float32 probabilities `(K, H, W)`.

Engines differ in how they like to be fed (several requests in flight on a CPU, batches on a GPU),
so the pipeline hands over an iterator of jobs and takes results back *in the same order*; how many
tiles are under way is the engine's business. A job without an image (a tile with no valid pixel)
costs nothing and keeps its place in the order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from buildext.errors import ResourceError

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
Key = TypeVar("Key")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What ran, for the output's metadata."""

    name: str
    version: str
    device: str
    precision: str
    """`f32`, `bf16` or `f16`: what the arithmetic was done in."""
    threads: int
    tiles_in_flight: int
    second_tile_px: int = 0
    """Side of the tiles of a second, coarser look; 0 where there is none."""


class Engine(Protocol):
    """One model on one device."""

    info: EngineInfo

    def infer(self, batch: UInt8Array) -> FloatArray:
        """Probabilities `(N, K, H, W)` float32 of a batch `(N, C, H, W)` uint8."""

    def stream(
        self, jobs: Iterator[tuple[Key, UInt8Array | None]]
    ) -> Iterator[tuple[Key, FloatArray | None]]:
        """Probabilities of many tiles, in the order of the jobs.

        Args:
            jobs: a key of the caller's and an image `(C, H, W)` uint8, or None to pass through.

        Yields:
            The key with probabilities `(K, H, W)` float32. The array is valid, and may be written
            to, until the next one is asked for.
        """


_OOM_TEXTS = ("out of memory", "bad_alloc", "failed to allocate", "cannot allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an engine's exception means that memory ran out."""
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in _OOM_TEXTS)


def run_halving(infer: Callable[[UInt8Array], FloatArray], batch: UInt8Array) -> FloatArray:
    """Run a batch; where memory runs out, run its halves instead.

    Raises:
        ResourceError: memory runs out with a single tile.
    """
    try:
        return infer(batch)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) == 1:
            raise ResourceError(
                f"memory ran out on a single tile of {batch.shape[-1]} px",
                hint="choose a smaller --tile, or another --device",
            ) from error
        log.warning("memory ran out with a batch of %d tiles; halving it", len(batch))
    half = len(batch) // 2
    return np.concatenate([run_halving(infer, batch[:half]), run_halving(infer, batch[half:])])


def stream_in_batches(
    infer: Callable[[UInt8Array], FloatArray],
    jobs: Iterator[tuple[Key, UInt8Array | None]],
    batch_size: int,
) -> Iterator[tuple[Key, FloatArray | None]]:
    """`Engine.stream` for engines that take batches; see there."""
    waiting: list[tuple[Key, UInt8Array | None]] = []
    filled = 0

    def flush() -> Iterator[tuple[Key, FloatArray | None]]:
        images = [image for _, image in waiting if image is not None]
        results = iter(run_halving(infer, np.stack(images)) if images else ())
        for key, image in waiting:
            yield key, (None if image is None else next(results))
        waiting.clear()

    for key, image in jobs:
        waiting.append((key, image))
        filled += image is not None
        # Jobs that only pass through must not pile up behind an unfilled batch.
        if filled == batch_size or len(waiting) >= 8 * batch_size:
            yield from flush()
            filled = 0
    yield from flush()
