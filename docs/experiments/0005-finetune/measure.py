"""What twenty outlines in one part of a scene gain in the rest of it, and cost elsewhere.

    export BUILDEXT_DATA=/path/to/data
    python docs/experiments/0005-finetune/measure.py --out records.jsonl

For each validation scene and seed: a building is drawn at random, and it and its 19 nearest
neighbours are a user's labels. The model is fine-tuned on them and extracts all three scenes; its
own scene is scored where it is more than 20 m from any of the labels, the two others as a whole.
One line of JSON a run; what is in the file already is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import rasterio
import rasterio.features
import shapely

from buildext.evaluate import EvaluateOptions, Frame, evaluate_files
from buildext.extract.options import ExtractOptions, Outputs
from buildext.extract.pipeline import open_job, run
from buildext.learn.training.finetuning.finetune import FinetuneOptions, finetune
from buildext.progress import SilentProgress

SCENES = ("zanzibar_b", "vegas_satellite", "kampala_b")
COUNT = 20
APART_M = 20.0
MIN_AREA_M2 = 8.0


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=FinetuneOptions().steps)
    parser.add_argument("--strengths", default=str(FinetuneOptions().strength))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    root = Path(os.environ["BUILDEXT_DATA"]) / "validation"
    done = {}
    if arguments.out.exists():
        records = [json.loads(line) for line in arguments.out.read_text().splitlines()]
        done = {record["key"]: record for record in records}
    with tempfile.TemporaryDirectory() as text, arguments.out.open("a") as file:
        work = Path(text)
        for seed in map(int, arguments.seeds.split(",")):
            for scene in arguments.scenes.split(","):
                for strength in map(float, arguments.strengths.split(",")):
                    key = f"{scene}, seed {seed}, {arguments.steps} steps, strength {strength:g}"
                    if key in done:
                        continue
                    options = FinetuneOptions(
                        steps=arguments.steps,
                        strength=strength,
                        hold_out=0.0,
                        threads=arguments.threads,
                    )
                    record = measure(root, scene, seed, options, work)
                    file.write(json.dumps({"key": key, **record}) + "\n")
                    file.flush()


def measure(
    root: Path, scene: str, seed: int, options: FinetuneOptions, work: Path
) -> dict[str, Any]:
    """Fine-tune on one choice of labels; scores of both models on all scenes."""
    labels, rest = draw_labels(root / scene, seed, work)
    out = work / "tuned"
    cpu = time.process_time()
    report = finetune(
        [root / scene / "scene.tif"],
        labels,
        out,
        options,
        overwrite=True,
        progress=SilentProgress(),
    )
    cpu = time.process_time() - cpu
    record: dict[str, Any] = {"scene": scene, "seed": seed, "seconds": report.seconds, "cpu_s": cpu}
    for name, model in (("before", "default"), ("after", report.model)):
        record[name] = {
            other: score(root / other, model, rest if other == scene else None, work)
            for other in SCENES
        }
    return record


def draw_labels(folder: Path, seed: int, work: Path) -> tuple[Path, Path]:
    """Files with a user's labels and with the part of the scene that is scored, in UTM."""
    with rasterio.open(folder / "scene.tif") as source:
        crs, bounds, transform = source.crs, shapely.box(*source.bounds), source.transform
    if (folder / "mask.tif").exists():
        with rasterio.open(folder / "mask.tif") as mask:
            inside = mask.read(1) > 0
        found = rasterio.features.shapes(inside.astype(np.uint8), inside, transform=transform)
        shapes, own = np.array([shapely.geometry.shape(one) for one, _ in found]), crs
    else:
        info, _, wkb, _ = pyogrio.raw.read(folder / "buildings.gpkg", columns=[])
        shapes, own = shapely.from_wkb(wkb), info["crs"]
    lon, _ = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(
        bounds.centroid.x, bounds.centroid.y
    )
    utm = f"EPSG:{32600 + int((lon + 180) // 6) + 1}"
    shapes, extent = _moved(shapes, own, utm), _moved(bounds, crs, utm)
    shapes = shapes[shapely.area(shapes) > MIN_AREA_M2]
    middles = shapely.centroid(shapes)
    first = np.random.default_rng([seed, 7]).integers(len(shapes))
    chosen = shapes[np.argsort(shapely.distance(middles, middles[first]))[:COUNT]]
    rest = extent.difference(shapely.union_all(chosen).buffer(APART_M))
    paths = work / "labels.gpkg", work / "rest.gpkg"
    for path, layer in zip(paths, (chosen, np.array([rest])), strict=True):
        path.unlink(missing_ok=True)
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(layer),
            field_data=[],
            fields=[],
            geometry_type="Unknown",
            crs=utm,
            driver="GPKG",
        )
    return paths


def score(folder: Path, model: str, aoi: Path | None, work: Path) -> dict[str, float]:
    """Scores of a whole extraction with its defaults, inside `aoi` where one is given."""
    output = work / "out.gpkg"
    with open_job([folder / "scene.tif"], ExtractOptions(model=model, threads=1)) as job:
        run(job, Outputs(output, overwrite=True))
        frame, window = job.frame, job.window
    grid = Frame.of(frame.crs, frame.transform, window.height, window.width, "scene")
    mask = folder / "mask.tif"
    reference = mask if mask.exists() else folder / "buildings.gpkg"
    options = EvaluateOptions(extent=grid, aoi=aoi, resamples=10)
    found = evaluate_files(output, reference, options).to_json()
    pixels = {name: found["pixels"][name] for name in ("f1", "precision", "recall")}
    # Where touching houses are merged in the labels, counts of objects say nothing.
    return pixels if mask.exists() else {**pixels, "object_f1": found["objects"]["f1"]}


def _moved(shapes: Any, crs: Any, target: str) -> Any:
    transformer = pyproj.Transformer.from_crs(crs, target, always_xy=True)
    return shapely.transform(shapes, transformer.transform, interleaved=False)


if __name__ == "__main__":
    main()
