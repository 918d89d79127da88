"""The error of the predicted step from roof to footprint, on the test area of the benchmark.

    python docs/experiments/0006-offset-head/measure.py MODEL DATA offset.json [tiers]

MODEL is a model folder with offset channels, DATA the folder that dataset cards start from, with
the rendered scenes of `benchmarks.off_nadir`. The network looks at overlapping upright tiles of
256 px at 0.6 m; of each the middle counts, where a roof of the test area is seen. Per pixel the
error is the length of the difference of two steps; per building, that of the mean step over its
visible roof. Beside it stand three answers that need no network: no step at all; the mean step of
the training area's roofs; and their mean step under the angle in question, as one who knows the
angle, but no heights, would answer.

With `tiers` the truth is finer than what the network was taught: each visible pixel of a roof has
the step of its own tier, the highest whose roof lies there, and a tier counts as a building does
above. Its class is still that of the building.
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
from rasterio.features import geometry_mask, rasterize

from buildext.learn.networks.build import load_network
from buildext.learn.training.data.dataset_card import SceneEntry, ScenePaths
from buildext.learn.training.data.reading import read_scene
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.tiles.height_classes import class_names
from buildext.learn.training.tiles.offsets import CHANNELS, to_metres
from buildext.learn.training.tiles.sampling import Placement, Pyramid
from buildext.models.store import load_model

log = logging.getLogger("measure")

# Angle, class `(n,)`, errors of all answers `(4, n)`, length of the true step `(n,)`.
Rows = list[tuple[int, NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]]

ANGLES_DEG = (5, 15, 25, 35, 45)
LIMITS_M = (12.0, 36.0, 100.0)
GSD_M = 0.6
TILE_PX, MARGIN_PX = 256, 32
LEAST_PX = 20
ANSWERS = ("network", "no step", "mean step", "mean step of the angle")


def read(folder: Path, angle: int) -> LabelledScene:
    """A scene whose labels count in the test area; its roofs are burnt everywhere."""
    name = f"angle_{angle:02d}"
    entry = SceneEntry(
        image=f"{name}.tif",
        labels=f"{name}/roofs.gpkg",
        height_field="height_m",
        offset_fields=("east_m", "north_m"),
        area="test.gpkg",
    )
    image, labels, test = (folder / p for p in (entry.image, entry.labels, "test.gpkg"))
    return read_scene(ScenePaths(f"melbourne/{name}", image, labels, test, entry), True)


def by_tier(folder: Path, angle: int, scene: LabelledScene) -> LabelledScene:
    """The scene with a label, and a step, for each tier."""
    name = folder / f"angle_{angle:02d}"
    meta, _, wkb, columns = pyogrio.raw.read(name / "tiers.gpkg")
    tier = dict(zip(meta["fields"].tolist(), columns, strict=True))
    names, _, _, columns = pyogrio.raw.read(name / "roofs.gpkg", read_geometry=False)
    roof = dict(zip(names["fields"].tolist(), columns, strict=True))
    height_m = dict(zip(roof["structure"].tolist(), roof["height_m"].tolist(), strict=True))
    # What is burnt last stands: of all roofs over a pixel the highest is the one that is seen.
    shapes = shapely.from_wkb(wkb)
    order = np.argsort(tier["height_m"], kind="stable")
    with rasterio.open(folder / f"{name.name}.tif") as image:
        numbers = rasterize(
            ((shapes[i], int(i) + 1) for i in order),
            out_shape=scene.labels.shape,
            transform=image.transform,
            dtype="int32",
        )
    steps = np.column_stack([tier["east_m"], -tier["north_m"]]).astype(np.float32)
    heights = [height_m.get(number, np.nan) for number in tier["structure"].tolist()]
    return replace(
        scene,
        labels=np.where(scene.labels > 0, numbers, 0).astype(np.int32),
        offsets_m=np.vstack([np.full((1, 2), np.nan, np.float32), steps]),
        heights_m=np.array([0, *heights], np.float32),
    )


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
    axes = [model.card.channels.index(name) for name in CHANNELS]
    scenes = {angle: read(data, angle) for angle in ANGLES_DEG}
    if sys.argv[4:] == ["tiers"]:
        scenes = {angle: by_tier(data, angle, scene) for angle, scene in scenes.items()}
    training = {angle: training_step(data, scene) for angle, scene in scenes.items()}
    overall = sum(s for s, _ in training.values()) / sum(n for _, n in training.values())
    pixels: Rows = []
    buildings: Rows = []
    for angle in ANGLES_DEG:
        scene = scenes[angle]
        parts = list(predict(network, scene, axes, model.card.offset_range_m))
        label, true, found = (np.concatenate(column) for column in zip(*parts, strict=True))
        step, count = training[angle]
        fixed = (np.zeros(2), overall, step / count)
        guesses = np.stack([found, *(np.broadcast_to(guess, true.shape) for guess in fixed)])
        error = np.linalg.norm(guesses - true, axis=2)
        known = np.isfinite(true).all(axis=1)
        group = np.digitize(scene.heights_m[label], LIMITS_M)
        pixels.append((angle, group[known], error[:, known], np.linalg.norm(true[known], axis=1)))
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
        buildings.append((angle, np.digitize(scene.heights_m[seen], LIMITS_M), wrong, length))
        log.info("%d°: %d pixels of %d roofs", angle, known.sum(), len(seen))
    record = {
        "model": model.card.name,
        "gsd_m": GSD_M,
        "mean_step_xy_m": [round(float(v), 3) for v in overall],
        "pixels": table(pixels),
        "buildings": table(buildings),
    }
    Path(sys.argv[3]).write_text(json.dumps(record, indent=1) + "\n")


def table(rows: Rows) -> list[dict[str, object]]:
    """Mean errors by angle and class, those of the network with their median."""
    out: list[dict[str, object]] = []
    for angle in (*ANGLES_DEG, None):
        chosen = [row for row in rows if angle in (None, row[0])]
        group = np.concatenate([row[1] for row in chosen])
        error = np.concatenate([row[2] for row in chosen], axis=1)
        length = np.concatenate([row[3] for row in chosen])
        for k, name in [(None, "all"), *enumerate(class_names(LIMITS_M))]:
            of = np.ones(len(group), bool) if k is None else group == k
            if of.any():
                means = error[:, of].mean(axis=1).round(2).tolist()
                out.append(
                    {
                        "off_nadir_deg": angle or "all",
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
