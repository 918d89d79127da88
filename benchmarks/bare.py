"""The bare engine on a scene's tiles: nothing is read, blended, polygonised or written.

    python -m benchmarks.bare SCENE MODEL TILES

As many tiles as `buildext extract` would run, cut from the scene beforehand. Prints seconds and
core-seconds of the inference alone.
"""

from __future__ import annotations

import sys
import time

from buildext.extract.options import ExtractOptions
from buildext.extract.pipeline import open_job
from buildext.extract.tiles import read_tiles

KEPT = 32


def main(scene: str, model: str) -> None:
    with open_job([scene], ExtractOptions(model=model)) as job:
        grid = job.layout.grid
        images = []
        for tile in read_tiles(job.scene, job.layout):
            if tile.image is not None:
                images.append(tile.image.copy())
            if len(images) == KEPT:
                break
        for _ in job.engine.stream(enumerate(images[:4])):
            pass
        count = grid.rows * grid.cols
        start, cpu = time.perf_counter(), time.process_time()
        jobs = ((index, images[index % len(images)]) for index in range(count))
        for _ in job.engine.stream(jobs):
            pass
        print(f"{time.perf_counter() - start:.4f} {time.process_time() - cpu:.4f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
