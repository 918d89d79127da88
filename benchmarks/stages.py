"""What each stage of `buildext extract` costs beside the network, alone and on one core.

    python -m benchmarks.stages SCENE MODEL

The network runs once over the scene; what it said is kept, and each stage is fed with what the one
before made, three times over. Prints a line for each stage: its name and its core-milliseconds a
megapixel, the least of the three. Processor time and not the clock is counted, so that a machine
with other work to do says nearly the same as an idle one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from buildext.extract.blend import TileResult, blend
from buildext.extract.options import ExtractOptions
from buildext.extract.pipeline import Job, open_job, shape_in_batches
from buildext.extract.tiles import TileImage, read_tiles
from buildext.footprints.assemble import assemble
from buildext.footprints.features import to_batch
from buildext.footprints.raw import RawGroup
from buildext.footprints.write import open_writer

ROUNDS = 3


def least(work: Callable[[], object]) -> float:
    """Core-seconds of this thread, the least of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        work()
        rounds.append(time.thread_time() - start)
    return min(rounds)


def read_all(scene: str, options: ExtractOptions) -> float:
    """Core-seconds to read all tiles of a file that is opened anew, decoded blocks forgotten."""
    with open_job([scene], options) as job:
        start = time.thread_time()
        for _ in read_tiles(job.scene, job.layout):
            pass
        return time.thread_time() - start


def predicted(job: Job) -> list[TileResult]:
    """What the network says to every tile of a scene."""
    images: Iterator[TileImage] = read_tiles(job.scene, job.layout)
    stream = job.engine.stream((tile.valid, tile.image) for tile in images)
    return [
        TileResult(None if result is None else result.copy(), valid) for valid, result in stream
    ]


def stages(scene: str, model: str) -> dict[str, float]:
    """Core-seconds of each stage; and `megapixels`."""
    options = ExtractOptions(model=model)
    cost = {"reading": min(read_all(scene, options) for _ in range(ROUNDS))}
    with open_job([scene], options) as job:
        results = predicted(job)
        channels, window, gsd_m = len(job.model.card.channels), job.window, job.scene.gsd_m

        # Blending works in the arrays that it is given.
        def fresh() -> Iterator[TileResult]:
            for result in results:
                values = result.probability
                yield TileResult(None if values is None else values.copy(), result.valid)

        copying = least(lambda: [0 for _ in fresh()])
        cost["blending"] = (
            least(lambda: [0 for _ in blend(job.layout, channels, fresh())]) - copying
        )
        blocks = list(blend(job.layout, channels, fresh()))
        scene_hw = (window.height, window.width)

        def found() -> list[RawGroup]:
            return list(assemble(blocks, scene_hw, job.separation))

        cost["separating, tracing"] = least(found)
        groups = found()
        cost["shaping"] = least(lambda: list(shape_in_batches(groups, options.shape, gsd_m)))
        shaped = list(shape_in_batches(groups, options.shape, gsd_m))

        def write(path: Path) -> None:
            with open_writer(path, job.frame.crs, metadata={}, overwrite=True) as writer:
                for batch in shaped:
                    writer.write(to_batch(batch, job.frame, 1))

        # GDAL writes in a thread of its own: the whole process is counted.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "buildings.gpkg"
            write(path)
            start = time.process_time()
            write(path)
            cost["features, writing"] = time.process_time() - start
        return {
            **cost,
            "megapixels": window.pixels / 1e6,
            "buildings": float(sum(len(group) for group in groups)),
            "skipped tiles": float(np.sum([result.probability is None for result in results])),
        }


def main(scene: str, model: str) -> None:
    found = stages(scene, model)
    megapixels = found.pop("megapixels")
    for name in ("buildings", "skipped tiles"):
        print(f"{name}\t{found.pop(name):.0f}")
    for name, seconds in found.items():
        print(f"{name}\t{seconds / megapixels * 1e3:.2f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
