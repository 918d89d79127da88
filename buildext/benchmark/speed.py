"""Speed: the bare engine on tiles of the scenes.

Nothing is read, blended or written, so what is timed is the network alone. A tile gives as many new
pixels as its stride squared; the rest overlaps with its neighbours. So megapixels a second are what
`extract` could reach at best, whatever the size of the scene.

Arms take turns, one round after the other: when something else disturbs the machine for a while, it
disturbs them all alike. Of the rounds the median is told, with the slowest and the fastest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from buildext.benchmark.accuracy import options_of
from buildext.benchmark.arms import Arm
from buildext.benchmark.scenes import LabelledScene
from buildext.engines.base import Engine, UInt8Array
from buildext.extract.pipeline import open_job
from buildext.extract.tiles import read_tiles
from buildext.progress import Progress


@dataclass(frozen=True, slots=True)
class Speed:
    """Megapixels a second, round by round.

    Attributes:
        rounds_mp_s: in the order of the rounds.
        tile_px: side of the tiles.
        threads: of the engine.
        tiles_in_flight: at a time.
    """

    rounds_mp_s: tuple[float, ...]
    tile_px: int
    threads: int
    tiles_in_flight: int

    @property
    def median_mp_s(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.rounds_mp_s)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An engine with its tiles.

    Attributes:
        engine: compiled.
        images: tiles, uint8 `(C, T, T)`.
        new_mp: megapixels that all of them give, overlaps counted once.
    """

    engine: Engine
    images: list[UInt8Array]
    new_mp: float

    def time(self) -> float:
        """Run all tiles; megapixels a second."""
        start = time.perf_counter()
        for _ in self.engine.stream(enumerate(self.images)):
            pass
        return self.new_mp / (time.perf_counter() - start)


def time_in_turns(
    arms: Sequence[Arm],
    scenes: Sequence[LabelledScene],
    *,
    tiles: int,
    rounds: int,
    progress: Progress,
    threads: int = 0,
) -> list[Speed]:
    """Time all arms, in turns.

    Args:
        arms: what to time.
        scenes: tiles are taken from all, as evenly as they have some.
        tiles: that an arm runs in each round.
        rounds: how often each is timed, after one to warm up.
        progress: told each turn.
        threads: of the engines; 0 takes all.

    Returns:
        The speed of each arm.
    """
    ready = [_prepare(arm, scenes, tiles, threads) for arm in arms]
    found: list[list[float]] = [[] for _ in arms]
    progress.start("timing", len(arms) * (rounds + 1))
    for number in range(rounds + 1):
        for one, speeds in zip(ready, found, strict=True):
            speed = one.time()
            if number:
                speeds.append(speed)
            progress.advance()
    progress.finish()
    return [
        Speed(
            tuple(speeds),
            one.images[0].shape[-1],
            one.engine.info.threads,
            one.engine.info.tiles_in_flight,
        )
        for one, speeds in zip(ready, found, strict=True)
    ]


def _prepare(arm: Arm, scenes: Sequence[LabelledScene], tiles: int, threads: int) -> _Ready:
    """The engine of an arm, and tiles of the scenes for it; few tiles are taken several times."""
    images: list[UInt8Array] = []
    for number, scene in enumerate(scenes):
        # What earlier scenes are too small for is left to later ones.
        wanted = (tiles - len(images)) // (len(scenes) - number)
        with open_job([scene.image], options_of(arm, threads)) as job:
            valid = (
                t.image.copy() for t in read_tiles(job.scene, job.layout) if t.image is not None
            )
            images += islice(valid, wanted)
            engine, stride_px = job.engine, job.layout.grid.stride_px
    shown = list(islice(cycle(images), tiles))
    return _Ready(engine, shown, tiles * stride_px**2 / 1e6)
