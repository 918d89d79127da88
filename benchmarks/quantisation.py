"""Compare methods of quantisation on several networks trained on one pool.

    python -m benchmarks.quantisation recipes/quantisation.toml -o studies/quantisation

For each network of the recipe: train it (or take the run that is there), score it in floats on the
blocks that were held out for the test, then quantise it by every method in every number of bits and
score it again. Eight bits are scored as OpenVINO runs the written file, fewer as simulated. A row
is appended to `rows.jsonl` as soon as it is known; started again, the script goes on with the first
row that is missing. `table.md` is written anew after each.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from buildext.engines.openvino import OpenVinoEngine
from buildext.errors import BuildextError
from buildext.learn.compress.ir.graph import read_graph
from buildext.learn.compress.ir.simplify import simplify
from buildext.learn.compress.plan import Simulation
from buildext.learn.compress.quantise import LIBRARIES, Recipe, plan_for, quantise_file
from buildext.learn.compress.tiles import cut_evenly, from_labelled
from buildext.learn.training.config import TrainingConfig, check_config
from buildext.learn.training.engine.monitor import f1
from buildext.learn.training.engine.pool import Pool, SceneCache, read_pool
from buildext.learn.training.run import resolved, run_config
from buildext.models.card import CARD_NAME
from buildext.models.store import Model, load_model
from buildext.progress import SilentProgress

log = logging.getLogger("buildext.quantisation")
ROWS_FILE, TABLE_FILE = "rows.jsonl", "table.md"
REAL_BITS = 8
# A network that has not learned anything cannot lose anything either.
LEAST_FLOAT_F1 = 0.70
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Arm(BaseModel):
    """One network: what differs from the base config's `[network]`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    network: dict[str, Any]


class Comparison(BaseModel):
    """The recipe."""

    model_config = ConfigDict(extra="forbid")

    methods: list[str]
    bits: list[int] = [8, 6]
    tiles: int = Field(32, gt=0)
    tile_px: int = Field(256, gt=0)
    device: str = "cpu"
    arms: list[Arm]
    base: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One network by one method; `float` with 32 bits is the network itself.

    Scores in points of a hundred; `share` of the work in int8, where it was run so; `seconds` that
    the method took, of one core; `otherwise` the percentage of test pixels that are decided
    otherwise than in floats: F1 may rise by luck, this cannot.
    """

    network: str
    method: str
    bits: int
    f1: float
    by_dataset: dict[str, float]
    share: float | None
    seconds: float
    failure: str = ""
    otherwise: float = float("nan")

    @property
    def key(self) -> tuple[str, str, int]:
        return self.network, self.method, self.bits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of networks; all where left out")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 takes all")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = Comparison.model_validate(tomllib.loads(options.recipe.read_text("utf-8")))
    compare(recipe, options.recipe.resolve().parent, options.out, options.only)


def compare(recipe: Comparison, base: Path, out: Path, only: list[str] | None = None) -> None:
    """Do all rows that are missing."""
    out.mkdir(parents=True, exist_ok=True)
    done = {row.key: row for row in read_rows(out)}
    cache = SceneCache()
    for arm in recipe.arms:
        if only and arm.name not in only:
            continue
        wanted = [(arm.name, "float", 32)]
        wanted += [(arm.name, m, b) for m in recipe.methods for b in recipe.bits]
        if all(key in done for key in wanted):
            continue
        config = config_of(recipe, arm)
        model = trained(config, base, out / "runs" / arm.name, cache)
        pool = read_pool(resolved(config, base), base, SilentProgress(), cache)
        for key in wanted:
            if key in done or (key[1] in LIBRARIES and key[2] != REAL_BITS):
                continue
            row = make_row(key, model, pool, recipe)
            done[key] = row
            with (out / ROWS_FILE).open("a", encoding="utf-8") as rows:
                rows.write(json.dumps({k: getattr(row, k) for k in Row.__slots__}) + "\n")
            (out / TABLE_FILE).write_text(table(list(done.values()), recipe), encoding="utf-8")
            log.info(
                "%s %s %d bits: F1 %.2f in %.0f core-s %s", *key, row.f1, row.seconds, row.failure
            )


def config_of(recipe: Comparison, arm: Arm) -> TrainingConfig:
    values = {**recipe.base, "name": arm.name}
    values["network"] = {**recipe.base.get("network", {}), **arm.network}
    return check_config(values, arm.name)


def trained(config: TrainingConfig, base: Path, run: Path, cache: SceneCache) -> Model:
    """The model of a run; the run is done, or gone on with, where there is none."""
    if not (run / "model" / CARD_NAME).is_file():
        log.info("training %s", config.name)
        run_config(config, base, run, resume=run.exists(), progress=SilentProgress(), cache=cache)
    return load_model(run / "model")


def make_row(key: tuple[str, str, int], model: Model, pool: Pool, recipe: Comparison) -> Row:
    """Quantise and score; what goes wrong is a row, too."""
    name, method, bits = key
    started = time.process_time()
    side = int(next(test_tiles(pool))[1]["image"].shape[-1])
    share: float | None = None
    try:
        if method == "float":
            predict = by_openvino(model.weights, side)
        else:
            tiles = calibration(pool, model, recipe)
            is_real = bits == REAL_BITS
            target = "openvino" if is_real else "simulation"
            how = Recipe(method, bits, target, recipe.device)  # type: ignore[arg-type]
            divisor = model.card.stride_divisor
            if is_real:
                path = model.folder.parent / f"{method}-w{bits}a{bits}.onnx"
                made = quantise_file(model.weights, tiles, how, divisor, path)
                share = made.share.share
                predict = by_openvino(path, side)
            else:
                plan = plan_for(simplify(read_graph(model.weights)), tiles, how, divisor)
                predict = by_simulation(Simulation(plan, recipe.device))
    except BuildextError as error:
        return Row(name, method, bits, float("nan"), {}, None, 0.0, str(error))
    seconds = time.process_time() - started
    scores, otherwise = score(predict, by_openvino(model.weights, side), pool)
    mean = sum(scores.values()) / len(scores)
    return Row(
        name, method, bits, mean, scores, share, round(seconds, 1), otherwise=round(otherwise, 3)
    )


def calibration(pool: Pool, model: Model, recipe: Comparison) -> NDArray[np.uint8]:
    """Tiles from the training part of the pool: the test blocks are erased there."""
    cuts = [from_labelled(scene, model.card.gsd) for scene in [*pool.clean, *pool.noisy]]
    return cut_evenly(cuts, number=recipe.tiles, tile_px=recipe.tile_px)


def by_openvino(path: Path, side: int) -> Predict:
    engine = OpenVinoEngine(path, side, precision="f32")
    return lambda image: engine.infer(image[None])[0]


def by_simulation(simulation: Simulation) -> Predict:
    return lambda image: simulation(torch.from_numpy(image[None]))[0].cpu().numpy()


def test_tiles(pool: Pool) -> Iterator[tuple[str, Any]]:
    for dataset, batches in pool.test.items():
        for batch in batches:
            yield dataset, batch


def score(predict: Predict, plain: Predict, pool: Pool) -> tuple[dict[str, float], float]:
    """Pixel F1 of buildings in points, pooled over each dataset's test tiles.

    Returns:
        The scores, and the percentage of pixels that `plain` decides otherwise.
    """
    counts: dict[str, NDArray[np.float64]] = {}
    differing, pixels = 0, 0
    for dataset, batch in test_tiles(pool):
        counted = batch["weight"][0].numpy() > 0
        truth = (batch["target"][0].numpy() > 0.5) & counted
        image = batch["image"].numpy()
        found, before = ((network(image)[0] > 0.5) & counted for network in (predict, plain))
        sums = [np.count_nonzero(found & truth), np.count_nonzero(found), np.count_nonzero(truth)]
        counts[dataset] = counts.get(dataset, np.zeros(3)) + sums
        differing += int(np.count_nonzero(found != before))
        pixels += int(np.count_nonzero(counted))
    scores = {dataset: 100 * f1(*sums.tolist()) for dataset, sums in counts.items()}
    return scores, 100 * differing / pixels


def read_rows(out: Path) -> list[Row]:
    path = out / ROWS_FILE
    if not path.is_file():
        return []
    return [Row(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def table(rows: list[Row], recipe: Comparison) -> str:
    """Two Markdown tables: a network a line, a method and number of bits a column."""
    columns = [(m, b) for b in recipe.bits for m in recipe.methods]
    columns = [(m, b) for m, b in columns if b == REAL_BITS or m not in LIBRARIES]
    by_key = {row.key: row for row in rows}
    plain = {row.network: row for row in rows if row.method == "float"}

    def lines(show: Callable[[Row, Row], str]) -> list[str]:
        made = ["| network | float | " + " | ".join(f"{m} {b}" for m, b in columns) + " |"]
        made.append("|---" * (len(columns) + 2) + "|")
        for name in (arm.name for arm in recipe.arms if arm.name in plain):
            floats = plain[name]
            low = "" if floats.f1 >= 100 * LEAST_FLOAT_F1 else " (too low)"
            cells = [f"{floats.f1:.2f}{low}"]
            for method, bits in columns:
                row = by_key.get((name, method, bits))
                cells.append("" if row is None else "failed" if row.failure else show(row, floats))
            made.append(f"| {name} | " + " | ".join(cells) + " |")
        return made

    def change(row: Row, floats: Row) -> str:
        share = "" if row.share is None else f" ({100 * row.share:.0f} %)"
        return f"{row.f1 - floats.f1:+.2f}{share}"

    notes = (
        "F1 of buildings in points, mean over datasets, pooled over their test blocks; by method "
        "the change against floats and, for 8 bits, the share of the work that runs in int8.",
        "Pixels of the test blocks that are decided otherwise than in floats, per cent.",
    )
    tables = (lines(change), lines(lambda row, _: f"{row.otherwise:.2f}"))
    return "\n".join(
        text for part, note in zip(tables, notes, strict=True) for text in [*part, "", note, ""]
    )


if __name__ == "__main__":
    main()
