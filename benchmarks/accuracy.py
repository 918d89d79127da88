"""Scores of a model on the labelled scenes of the data pools.

    BUILDEXT_DATA=/path python -m benchmarks.accuracy [--model default] [--json OUT]

The scenes come from the cards in `datasets/`: those that say `use = "validate"`, which no bundled
model was trained on, and with `--all` the others too. Object scores are printed only where labels
are per building. Each scene goes through the whole of `buildext extract` with its defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine

from buildext.evaluate import EvaluateOptions, Frame, evaluate_files
from buildext.extract.options import ExtractOptions, Outputs
from buildext.extract.pipeline import open_job, run
from buildext.footprints.shape import ShapeOptions

CARDS = Path(__file__).parent.parent / "datasets"


@dataclass
class Row:
    """Counts of one data set, added up over its scenes."""

    gsd_m: float = 0.0
    pixels: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    boundary: Counter[str] = field(default_factory=Counter)
    touching: Counter[str] = field(default_factory=Counter)

    def add(self, gsd_m: float, found: dict[str, Any]) -> None:
        self.gsd_m = gsd_m
        for kind, total in (("pixels", self.pixels), ("objects", self.objects)):
            for name in ("true_positives", "false_positives", "false_negatives"):
                total[name] += found[kind][name]
        for name in ("found", "apart"):
            self.touching[name] += (found["touching"] or {}).get(name, 0)
        boundary = found["boundary"]
        for side, score in (("pred", "precision"), ("ref", "recall")):
            contour = boundary[f"{side}_contour_px"]
            self.boundary[side] += contour
            self.boundary[score] += contour * (boundary[score] or 0)

    def figures(self) -> dict[str, float]:
        precision, recall, f1, iou = _scores(self.pixels)
        _, _, object_f1, _ = _scores(self.objects)
        near = [
            self.boundary[score] / max(self.boundary[side], 1)
            for side, score in (("pred", "precision"), ("ref", "recall"))
        ]
        return {
            "gsd_m": self.gsd_m,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "iou": iou,
            "boundary_f1": 2 * near[0] * near[1] / max(sum(near), 1e-9),
            "object_f1": object_f1,
            "apart": self.touching["apart"] / max(self.touching["found"], 1),
            "found": self.objects["true_positives"] + self.objects["false_positives"],
            "true": self.objects["true_positives"] + self.objects["false_negatives"],
        }


def _scores(count: Counter[str]) -> tuple[float, float, float, float]:
    tp = count["true_positives"]
    fp, fn = count["false_positives"], count["false_negatives"]
    return (
        tp / max(tp + fp, 1),
        tp / max(tp + fn, 1),
        2 * tp / max(2 * tp + fp + fn, 1),
        tp / max(tp + fp + fn, 1),
    )


def pairs(root: Path, card: dict[str, Any]) -> Iterator[tuple[Path, Path]]:
    """Images of a card with their labels."""
    for entry in card["scenes"]:
        for image in sorted(root.glob(entry["image"])):
            if not image.stem.endswith("_mask"):
                yield image, root / entry["labels"].replace("{stem}", image.stem)


def score(image: Path, labels: Path, options: ExtractOptions) -> tuple[float, dict[str, Any]]:
    """Extract a scene and score it on its own grid."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.gpkg"
        with open_job([image], options) as job:
            run(job, Outputs(output))
            frame, window = job.frame, job.window
        grid = Frame.of(frame.crs, frame.transform, window.height, window.width, "scene")
        if is_empty(labels):
            return frame.gsd_m, all_false(output, frame.transform)
        return frame.gsd_m, evaluate_files(
            output, labels, EvaluateOptions(extent=grid, resamples=10)
        ).to_json()


def is_empty(labels: Path) -> bool:
    """Whether a mask has no building; `evaluate` refuses it, but what is found there counts."""
    if labels.suffix != ".tif":
        return False
    with rasterio.open(labels) as mask:
        return not mask.read(1).any()


def all_false(output: Path, transform: Affine) -> dict[str, Any]:
    """Counts of a scene without buildings."""
    layer = pyogrio.list_layers(output)[0, 0]
    _, _, found, _ = pyogrio.raw.read(output, layer=layer, columns=[])
    area_px = float(shapely.area(shapely.from_wkb(found)).sum()) / abs(transform.determinant)
    nothing = {"true_positives": 0, "false_negatives": 0}
    return {
        "pixels": nothing | {"false_positives": round(area_px)},
        "objects": nothing | {"false_positives": len(found)},
        "boundary": {"pred_contour_px": 0, "ref_contour_px": 0, "precision": 0, "recall": 0},
        "touching": None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--gsd", type=float)
    parser.add_argument("--second-scale", type=float)
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--contact", type=float)
    parser.add_argument("--regularize", default="right-angles")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", nargs="+", default=[], metavar="DATASET")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    root = Path(os.environ.get("BUILDEXT_DATA", ""))
    if "BUILDEXT_DATA" not in os.environ or not root.is_dir():
        print("SKIPPED: the data pools are not here; set BUILDEXT_DATA to their folder")
        sys.exit(0)
    options = ExtractOptions(
        model=arguments.model,
        gsd_m=arguments.gsd,
        second_scale=arguments.second_scale,
        threshold=arguments.threshold,
        contact_threshold=arguments.contact,
        separate=not arguments.merge,
        shape=ShapeOptions(mode=arguments.regularize),
    )
    rows: dict[str, dict[str, float]] = {}
    print(
        f"{'scene':18s} {'GSD':>5s} {'px P':>6s} {'px R':>6s} {'px F1':>6s} {'IoU':>6s} "
        f"{'bnd F1':>6s} {'obj F1':>6s} {'apart':>6s} {'found':>6s} {'true':>5s}"
    )
    for path in sorted(CARDS.glob("*/dataset.toml")):
        card = tomllib.loads(path.read_text())
        wanted = arguments.all or card["use"] == "validate"
        if not (card["name"] in arguments.only if arguments.only else wanted):
            continue
        row = Row()
        for image, labels in pairs(root, card):
            row.add(*score(image, labels, options))
        figures = rows[card["name"]] = row.figures()
        shown = "     –      –"
        if card["instances"]:
            shown = f"{figures['object_f1']:6.3f} {figures['apart']:6.3f}"
        print(
            f"{card['name']:18s} {row.gsd_m:5.2f} "
            + " ".join(f"{figures[k]:6.3f}" for k in ("precision", "recall", "f1", "iou"))
            + f" {figures['boundary_f1']:6.3f} {shown}"
            + f" {figures['found']:6.0f} {figures['true']:5.0f}",
            flush=True,
        )
    print(f"mean pixel F1 {np.mean([row['f1'] for row in rows.values()]):.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
