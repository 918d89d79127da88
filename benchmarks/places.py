"""Leave one place out: how good is a recipe where its network has never been?

    export BUILDEXT_DATA=/path BUILDEXT_WEIGHTS=/path
    python -m benchmarks.places recipes/light.toml -o studies/light [--folds] [--only rio]

For each place of `benchmarks/places.toml` the recipe is trained without the place's datasets, and
the whole of `buildext extract`, with its defaults, is scored on all of them that have clean labels.
With `--folds` one training leaves out all places of a fold, and `--only` names folds. Everything
that is done stays in `-o`; started again, the command goes on where it stopped, in the middle of a
training too. `--set schedule.steps=300` changes a key of the recipe, `--model NAME` scores a
finished model on all places instead, for comparison, and trains nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import CARDS, Row, pairs, score
from buildext.atomic import atomic_path
from buildext.extract.options import ExtractOptions
from buildext.learn.training.config import check_config
from buildext.learn.training.run import RESULT_FILE, run_config
from buildext.progress import SilentProgress

PLACES = Path(__file__).with_name("places.toml")
# Labels that are known to be wrong or missing are no judges.
JUDGES = "clean"
SCORES = "scores.json"


def main() -> None:
    """Train, score and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="places or folds, with commas between")
    parser.add_argument("--folds", action="store_true", help="leave out several places at once")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--model", help="score this model on all places; train nothing")
    arguments = parser.parse_args()
    if not Path(os.environ.get("BUILDEXT_DATA", "missing")).is_dir():
        sys.exit("SKIPPED: the data pools are not here; set BUILDEXT_DATA to their folder")
    known = tomllib.loads(PLACES.read_text())
    places: dict[str, list[str]] = known["places"]
    groups = known["folds"] if arguments.folds else {place: [place] for place in places}
    recipe = tomllib.loads(arguments.recipe.read_text())
    for change in arguments.set:
        key, _, value = change.partition("=")
        set_key(recipe, key.split("."), json.loads(value))
    for group in arguments.only.split(",") if arguments.only else groups:
        to_score = [
            place
            for place in groups[group]
            if any(judge(name) for name in places[place])
            and not (arguments.out / place / SCORES).exists()
        ]
        if not to_score:
            continue
        left_out = [name for place in groups[group] for name in places[place]]
        model = arguments.model or str(
            train_without(left_out, recipe, arguments.recipe.parent, arguments.out / group)
        )
        for place in to_score:
            rows = score_place(places[place], model)
            found = arguments.out / place / SCORES
            found.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(found, overwrite=True) as temporary:
                temporary.write_text(json.dumps(rows, indent=2) + "\n")
    print(table(arguments.out))


def set_key(recipe: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a nested key."""
    for part in path[:-1]:
        recipe = recipe.setdefault(part, {})
    recipe[path[-1]] = value


def train_without(
    left_out: Sequence[str], recipe: dict[str, Any], base: Path, folder: Path
) -> Path:
    """Train `recipe` without the datasets `left_out`; the folder of the model."""
    run = folder / "run"
    if not (run / RESULT_FILE).exists():
        ours = [text for text in recipe["datasets"] if Path(text).name not in left_out]
        weights = recipe.get("sampling", {}).get("weights", {})
        scenes = recipe.get("split", {}).get("scenes", [])
        changed = json.loads(json.dumps(recipe)) | {"datasets": ours}
        if weights:
            changed["sampling"]["weights"] = {
                name: value for name, value in weights.items() if name not in left_out
            }
        if scenes:
            changed["split"]["scenes"] = [
                text for text in scenes if text.split("/")[0] not in left_out
            ]
        config = check_config(changed, f"the recipe without {', '.join(left_out)}")
        run_config(config, base, run, resume=run.exists(), progress=SilentProgress())
    return run / "model"


def score_place(datasets: Sequence[str], model: str) -> dict[str, dict[str, Any]]:
    """Scores of a model on the clean datasets of a place, by dataset."""
    root = Path(os.environ["BUILDEXT_DATA"])
    rows: dict[str, dict[str, Any]] = {}
    for name in datasets:
        card = judge(name)
        if card is None:
            continue
        row = Row()
        for image, labels in pairs(root, card):
            row.add(*score(image, labels, ExtractOptions(model=model)))
        rows[name] = row.figures() | {"instances": card["instances"]}
    return rows


def judge(name: str) -> dict[str, Any] | None:
    """The card of a dataset, or None where no network can be judged by it."""
    card = tomllib.loads((CARDS / name / "dataset.toml").read_text())
    # An area says that labels end somewhere inside of the scene: no scene to be scored whole.
    partial = any("area" in entry for entry in card["scenes"])
    return None if partial or card["quality"] != JUDGES else card


def table(out: Path) -> str:
    """A Markdown table of all places that are done, and their means."""
    lines = ["| place | dataset | pixel F1 | IoU | boundary F1 | object F1 |", "|---|" + "---|" * 5]
    pixel, single = [], []
    for path in sorted(out.glob(f"*/{SCORES}")):
        rows = json.loads(path.read_text())
        for name, row in rows.items():
            objects = f"{row['object_f1']:.3f}" if row["instances"] else "–"
            figures = " | ".join(f"{row[key]:.3f}" for key in ("f1", "iou", "boundary_f1"))
            lines.append(f"| {path.parent.name} | {name} | {figures} | {objects} |")
        if rows:
            # A place counts once, however many datasets show it.
            pixel.append(np.mean([row["f1"] for row in rows.values()]))
        of_singles = [row["object_f1"] for row in rows.values() if row["instances"]]
        if of_singles:
            single.append(np.mean(of_singles))
    if pixel and single:
        means = f"**{np.mean(pixel):.3f}** | | | **{np.mean(single):.3f}**"
        lines.append(f"| **mean of {len(pixel)} places** | | {means} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
