"""The error of the predicted step from roof to footprint, on the test area of the benchmark.

    python docs/experiments/0006-offset-head/measure.py MODEL DATA offset.json

MODEL is a model folder with offset channels, DATA the folder that dataset cards start from, with
the rendered scenes of `benchmarks.off_nadir`. The network looks at overlapping upright tiles of
256 px at 1 m; of each the middle counts, where a roof of the test area is seen. The truth is the
step of the tier that is seen. Per pixel the error is the length of the difference of two steps; per
tier, that of the mean step over its visible roof. Beside it stand three answers that need no
network: no step at all; the mean step of the training area's roofs; and their mean step under the
angle in question, as one who knows the angle, but no heights, would answer.

Means reward a constant; what no constant has is a correlation with the truth at one angle, which is
taken over the pixels, along the lean.

Classes are those of the building, as everywhere, and those of the roof's own height.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
import torch
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from buildext.learn.networks.build import load_network
from buildext.learn.training.data.dataset_card import SceneEntry, ScenePaths
from buildext.learn.training.data.reading import read_scene
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.tiles.height_classes import class_names
from buildext.learn.training.tiles.offsets import to_metres
from buildext.learn.training.tiles.sampling import Placement, Pyramid
from buildext.models.card import OFFSET_CHANNELS
from buildext.models.store import load_model

log = logging.getLogger("measure")

# Angle, class of the building and of the roof, each `(n,)`, errors of all answers `(4, n)`, length
# of the true step `(n,)`.
Rows = list[
    tuple[int, NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]
]

ANGLES_DEG = (5, 15, 25, 35, 45)
LIMITS_M = (12.0, 36.0, 100.0)
GSD_M = 1.0
TILE_PX, MARGIN_PX = 256, 48
LEAST_PX = 7
ANSWERS = ("network", "no step", "mean step", "mean step of the angle")


def read(folder: Path, angle: int) -> tuple[LabelledScene, NDArray[np.float32]]:
    """A scene with a label for each tier, and the heights of their buildings, by label.

    Labels count in the test area; tiers are burnt everywhere.
    """
    name = f"angle_{angle:02d}"
    entry = SceneEntry(
        image=f"{name}.tif",
        labels=f"{name}/roofs.gpkg",
        height_field="height_m",
        offset_fields=("east_m", "north_m"),
        offset_labels=f"{name}/tiers.gpkg",
        area="test.gpkg",
    )
    image, labels, test = (folder / p for p in (entry.image, entry.labels, "test.gpkg"))
    tiers = folder / name / "tiers.gpkg"
    scene = read_scene(ScenePaths(f"melbourne/{name}", image, labels, test, entry, tiers), True)
    own, building = (_columns(folder / name / f"{layer}.gpkg") for layer in ("tiers", "roofs"))
    highest = dict(zip(building["structure"].tolist(), building["height_m"].tolist(), strict=True))
    of_building = [highest.get(number, np.nan) for number in own["structure"].tolist()]
    assert scene.roof_parts is not None
    by_tier = replace(
        scene,
        labels=np.where(scene.labels > 0, scene.roof_parts, 0).astype(np.int32),
        heights_m=np.insert(own["height_m"], 0, 0).astype(np.float32),
        roof_parts=None,
    )
    return by_tier, np.array([0, *of_building], np.float32)


def _columns(path: Path) -> dict[str, NDArray[np.float64]]:
    wanted = ["structure", "height_m"]
    meta, _, _, values = pyogrio.raw.read(path, columns=wanted, read_geometry=False)
    return dict(zip(meta["fields"].tolist(), values, strict=True))


def training_step(folder: Path, scene: LabelledScene) -> tuple[NDArray[np.float64], int]:
    """Sum of the true steps over the pixels of roofs in the training area, and their number."""
    _, _, wkb, _ = pyogrio.raw.read(folder / "train.gpkg", columns=[])
    with rasterio.open(folder / "angle_05.tif") as image:
        grid = image.transform
    strips = geometry_mask(shapely.from_wkb(wkb), scene.labels.shape, grid, invert=True)
    pixels = np.bincount(scene.labels[strips], minlength=len(scene.offsets_m))
    known = np.isfinite(scene.offsets_m).all(axis=1)
    steps = scene.offsets_m[known].astype(np.float64) * pixels[known, None]
    return steps.sum(axis=0), int(pixels[known].sum())


@torch.no_grad()
def predict(
    network: torch.nn.Module, scene: LabelledScene, axes: list[int], range_m: float
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]]:
    """Label, true step and predicted step `(P,)`, `(P, 2)`, `(P, 2)` of all known roof pixels."""
    pyramid = Pyramid(scene)
    step_px = (TILE_PX - 2 * MARGIN_PX) * GSD_M / scene.gsd_m
    height, width = scene.labels.shape
    middle = slice(MARGIN_PX, TILE_PX - MARGIN_PX)
    for y in np.arange(step_px / 2, height + step_px / 2, step_px):
        for x in np.arange(step_px / 2, width + step_px / 2, step_px):
            tile = pyramid.cut(Placement((x, y), 0.0, False, GSD_M), TILE_PX)
            there = np.zeros_like(tile.weight)
            there[middle, middle] = (tile.weight & (tile.labels > 0))[middle, middle]
            if not there.any():
                continue
            image = torch.from_numpy(np.moveaxis(tile.image, -1, 0).copy())
            found = to_metres(network(image[None])[0, axes].numpy(), range_m)
            yield tile.labels[there], tile.offset_m[:, there].T, found[:, there].T


def main() -> None:
    """Measure and write."""
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    model, data = load_model(sys.argv[1]), Path(sys.argv[2]) / "off_nadir"
    network = load_network(model.card, model.weights)
    axes = [model.card.channels.index(name) for name in OFFSET_CHANNELS]
    scenes = {angle: read(data, angle) for angle in ANGLES_DEG}
    training = {angle: training_step(data, scene) for angle, (scene, _) in scenes.items()}
    overall = sum(s for s, _ in training.values()) / sum(n for _, n in training.values())
    correlation = {}
    pixels: Rows = []
    tiers: Rows = []
    for angle, (scene, building_m) in scenes.items():
        classes = [np.digitize(h, LIMITS_M) for h in (building_m, scene.heights_m)]
        parts = list(predict(network, scene, axes, model.card.offset_range_m))
        label, true, found = (np.concatenate(column) for column in zip(*parts, strict=True))
        step, count = training[angle]
        fixed = (np.zeros(2), overall, step / count)
        guesses = np.stack([found, *(np.broadcast_to(guess, true.shape) for guess in fixed)])
        error = np.linalg.norm(guesses - true, axis=2)
        known = np.isfinite(true).all(axis=1)
        groups = (of[label[known]] for of in classes)
        # All roofs lean south: down the rows.
        correlation[angle] = round(float(np.corrcoef(found[known, 1], true[known, 1])[0, 1]), 3)
        pixels.append((angle, *groups, error[:, known], np.linalg.norm(true[known], axis=1)))
        n = np.bincount(label, minlength=len(scene.heights_m))
        seen = np.flatnonzero((n >= LEAST_PX) & np.isfinite(scene.offsets_m).all(axis=1))
        mean = np.stack(
            [
                [np.bincount(label, g[:, k], len(n))[seen] / n[seen] for k in range(2)]
                for g in guesses
            ]
        ).transpose(0, 2, 1)
        wrong = np.linalg.norm(mean - scene.offsets_m[seen], axis=2)
        length = np.linalg.norm(scene.offsets_m[seen], axis=1)
        tiers.append((angle, *(of[seen] for of in classes), wrong, length))
        log.info("%d°: %d pixels of %d roofs", angle, known.sum(), len(seen))
    record = {
        "model": model.card.name,
        "gsd_m": GSD_M,
        "mean_step_xy_m": [round(float(v), 3) for v in overall],
        "correlation": correlation,
        "pixels": table(pixels),
        "tiers": table(tiers),
    }
    Path(sys.argv[3]).write_text(json.dumps(record, indent=1) + "\n")


def table(rows: Rows) -> list[dict[str, object]]:
    """Mean errors by angle and class, those of the network with their median."""
    out: list[dict[str, object]] = []
    classes = list(enumerate(class_names(LIMITS_M)))
    for angle in (*ANGLES_DEG, None):
        chosen = [row for row in rows if angle in (None, row[0])]
        error = np.concatenate([row[3] for row in chosen], axis=1)
        length = np.concatenate([row[4] for row in chosen])
        everything = ("all", "all", np.ones(len(length), bool))
        groups = [everything]
        for column, whose in ((1, "building"), (2, "roof")):
            group = np.concatenate([row[column] for row in chosen])
            groups += [(whose, name, group == k) for k, name in classes]
        for whose, name, of in groups:
            if of.any():
                means = error[:, of].mean(axis=1).round(2).tolist()
                out.append(
                    {
                        "off_nadir_deg": angle or "all",
                        "height_of": whose,
                        "class": name,
                        "count": int(of.sum()),
                        "true_step_m": round(float(length[of].mean()), 2),
                        "error_m": dict(zip(ANSWERS, means, strict=True)),
                        "median_m": round(float(np.median(error[0, of])), 2),
                    }
                )
    return out


if __name__ == "__main__":
    main()
