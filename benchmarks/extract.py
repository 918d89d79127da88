"""Speed and memory of `buildext extract`, side by side with what it is measured against.

    python -m benchmarks.extract [--model default] [--megapixels 400] [--large]
    python -m benchmarks.extract --model default-int8 --twin default

One real scene is repeated to the wanted size at 0.15 m. Each figure comes from a process of its
own, and all are printed in one go:

- the cold start: the whole command on 2 MP, for the first time and when its compiled network has
  been kept;
- the whole command, from the file to the GeoPackage, and the bare engine on the same tiles, in
  turns; what the start costs on a scene of one tile is taken off where cost per megapixel is meant;
- each stage beside the network alone (`benchmarks.stages`);
- the naive tiled torch loop on a part of the scene (`benchmarks.naive`; needs the `train` extra);
- with `--large`, the memory of 400 MP, of four times its height, and of 200 000 × 2 000 px.

The clock needs a machine that has nothing else to do; core-milliseconds are nearly the same on any.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import tempfile
from pathlib import Path

from benchmarks.measure import Usage, measure
from benchmarks.scenes import BUNDLED, repeat_scene

GSD = 0.15
FLAGS = ("--overwrite", "--progress", "json")
STAGES_SIDE, COLD_SIDE, ONE_TILE_SIDE = 4032, 1414, 256


def extract(scene: Path, folder: Path, model: str) -> Usage:
    """The whole command on a scene."""
    out = folder / f"{scene.stem}.gpkg"
    return measure(
        ["-m", "buildext", "extract", str(scene), "-o", str(out), "--model", model, *FLAGS]
    )


def quickest(scene: Path, folder: Path, model: str, rounds: int) -> Usage:
    """The best of some rounds by the clock."""
    return min(
        (extract(scene, folder, model) for _ in range(rounds)), key=lambda usage: usage.wall_s
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", type=Path, default=BUNDLED)
    parser.add_argument("--model", default="default")
    parser.add_argument(
        "--twin", help="float model of the same weights for the torch loop, where MODEL is int8"
    )
    parser.add_argument("--megapixels", type=float, default=400)
    parser.add_argument("--large", action="store_true", help="memory of very large scenes too")
    parser.add_argument("--rounds", type=int, default=2, help="repetitions; the best counts")
    parser.add_argument("--folder", type=Path, help="keep the scenes here for the next time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        # Kept networks of earlier runs must not make the first start a second one.
        os.environ["BUILDEXT_CACHE"] = str(Path(name) / "cache")
        run(arguments, arguments.folder or Path(name))


def run(arguments: argparse.Namespace, folder: Path) -> None:
    model, rounds = arguments.model, arguments.rounds
    twin = arguments.twin or model
    side = round(math.sqrt(arguments.megapixels * 1e6))

    def scene(height: int, width: int) -> Path:
        target = folder / f"{width}x{height}.tif"
        return (
            target if target.exists() else repeat_scene(arguments.scene, target, height, width, GSD)
        )

    cold = scene(COLD_SIDE, COLD_SIDE)
    first, again = extract(cold, folder, model), quickest(cold, folder, model, rounds + 1)
    for label, usage in (("first of all", first), ("from then on", again)):
        print(f"cold start, 2 MP, {label}: {usage.wall_s:.2f} s, {usage.cpu_s:.2f} core-s")
    start_up = quickest(scene(ONE_TILE_SIDE, ONE_TILE_SIDE), folder, model, rounds)
    print(f"start-up (one tile): {start_up.wall_s:.2f} s, {start_up.cpu_s:.2f} core-s")

    square = scene(side, side)
    megapixels = side * side / 1e6
    best = against_bare(square, megapixels, folder, arguments, start_up)
    print("each stage alone, core-ms/MP:")
    small = scene(STAGES_SIDE, STAGES_SIDE)
    print(measure(["-m", "benchmarks.stages", str(small), model]).output.rstrip())
    if importlib.util.find_spec("torch"):
        naive = measure(
            ["-m", "benchmarks.naive", str(square), twin, str(folder / "naive.gpkg"), "16"]
        )
        rate = float(naive.output.split()[-1])
        ours = megapixels / (best.wall_s - start_up.wall_s)
        print(
            f"naive torch loop, 16 MP: {rate:.3f} MP/s, peak {naive.peak_bytes / 1e9:.2f} GB; "
            f"extract is {ours / rate:.1f} times as fast"
        )
    if arguments.large:
        big = extract(scene(20_000, 20_000), folder, model)
        report("extract, 20 000 × 20 000 px", big, 400)
        high = extract(scene(80_000, 20_000), folder, model)
        report("extract, four times as high", high, 1600)
        print(f"peak memory against one height: {high.peak_bytes / big.peak_bytes:.3f}")
        wide = extract(scene(2_000, 200_000), folder, model)
        report("extract, 200 000 × 2 000 px", wide, 400)


def against_bare(
    square: Path, megapixels: float, folder: Path, arguments: argparse.Namespace, start_up: Usage
) -> Usage:
    """The whole command and the bare engine on the same tiles; returns the best of the former."""
    whole, bare = [], []
    # In turns, so that a slower minute of the machine meets both.
    for _ in range(arguments.rounds):
        whole.append(extract(square, folder, arguments.model))
        bare.append(measure(["-m", "benchmarks.bare", str(square), arguments.model]).output.split())
    best = min(whole, key=lambda usage: usage.wall_s)
    bare_wall, bare_cpu = min((float(wall), float(cpu)) for wall, cpu in bare)
    report(f"extract, {megapixels:.0f} MP", best, megapixels)
    print(
        f"{'bare engine, same tiles':34s} {megapixels / bare_wall:7.2f} MP/s  "
        f"{bare_cpu / megapixels * 1e3:7.0f} core-ms/MP"
    )
    net_wall = best.wall_s - start_up.wall_s
    print(
        f"end to end without start-up: {megapixels / net_wall:.2f} MP/s = "
        f"{bare_wall / net_wall:.1%} of the bare engine (with start-up "
        f"{bare_wall / best.wall_s:.1%})"
    )
    other = (best.cpu_s - start_up.cpu_s - bare_cpu) / megapixels * 1e3
    print(f"everything but the network: {other:.0f} core-ms/MP")
    return best


def report(label: str, usage: Usage, megapixels: float) -> None:
    """One line of a table."""
    print(
        f"{label:34s} {megapixels / usage.wall_s:7.2f} MP/s  "
        f"{usage.cpu_s / megapixels * 1e3:7.0f} core-ms/MP  "
        f"peak {usage.peak_bytes / 1e9:5.2f} GB  {usage.wall_s:7.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
