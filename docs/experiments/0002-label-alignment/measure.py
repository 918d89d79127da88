"""How far aligned labels lie from the truth, and whether their confidence means what it says.

    python docs/experiments/0002-label-alignment/measure.py SCENE LABELS --seeds 1,2 [--out F.json]
    python docs/experiments/0002-label-alignment/measure.py SCENE LABELS --roofs CHECKED.gpkg

The first displaces clean labels by known steps (blocks of 64 m, each 1 to 5 m in some direction; a
lean of 15 degrees along one azimuth, heights lognormal with median 8 m and spread 0.6; 0.5 m of
jitter along each axis) and aligns them; the second aligns labels as they are, and compares them
with roofs that were drawn by eye.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray

from buildext.align.labels import Labels, read_labels
from buildext.align.layer import Aligned, align_labels
from buildext.align.options import AlignOptions
from buildext.extract.options import ExtractOptions, Outputs
from buildext.extract.pipeline import open_job, run
from buildext.simulate.ground import ground_crs, project
from buildext.simulate.heights import HeightDistribution
from buildext.simulate.label_errors import BlockShift, LabelErrors, lead_astray, move, stream

BINS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


def main() -> None:
    """Measure and print; with --out, store as JSON too."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scene", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--roofs", type=Path)
    parser.add_argument("--gsd", type=float)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raster = Path(folder) / "p.tif"
        with open_job([given.scene], ExtractOptions(gsd_m=given.gsd)) as job:
            run(job, Outputs(Path(folder) / "b.gpkg", raster))
            gsd_m = job.scene.gsd_m
        clean = read_labels(given.labels)
        if given.roofs is None:
            seeds = [int(seed) for seed in given.seeds.split(",")]
            result = displaced(raster, clean, gsd_m, seeds)
        else:
            result = checked(raster, clean, gsd_m, given.roofs)
    text = json.dumps({"scene": given.scene.parent.name, "gsd_m": gsd_m, **result}, indent=1)
    sys.stdout.write(text + "\n")
    if given.out:
        given.out.write_text(text + "\n")


def displaced(raster: Path, clean: Labels, gsd_m: float, seeds: list[int]) -> dict[str, Any]:
    """Residuals after known displacement, all seeds together."""
    west, south, east, north = shapely.total_bounds(clean.polygons)
    ground = ground_crs(clean.crs, (west, south, east, north))
    true = project(clean.polygons, clean.crs, ground)
    before, after, confidence, status = [], [], [], []
    for seed in seeds:
        rng = stream(seed, "alignment")
        errors = LabelErrors(
            off_nadir_deg=15,
            azimuth_deg=float(rng.uniform(0, 360)),
            block=BlockShift(64, length_m=(1, 5)),
        )
        heights_m = HeightDistribution(8, 0.6).draw(len(true), stream(seed, "height"))
        wrong = lead_astray(true, heights_m, errors, seed).polygons
        wrong = move(wrong, rng.normal(0, 0.5, (len(true), 2)))
        labels = Labels(ground, wrong, clean.fields)
        done = align_labels(raster, labels, gsd_m, AlignOptions())
        before.append(apart_m(wrong, true))
        after.append(apart_m(done.labels.polygons, true))
        confidence.append(confidences(done))
        status.append(done.status)
    e, c, s = np.concatenate(after), np.concatenate(confidence), np.concatenate(status)
    moved = s == "moved"
    return {
        "seeds": seeds,
        "status": {str(k): int((s == k).sum()) for k in sorted(set(s))},
        "before": spread(np.concatenate(before)),
        "after, all labels": spread(e),
        "after, moved labels": spread(e[moved]),
        "within 1 m by confidence": reliability(e[moved], c[moved]),
    }


def checked(raster: Path, labels: Labels, gsd_m: float, roofs: Path) -> dict[str, Any]:
    """Distances between middles of labels and of roofs drawn by eye, before and after."""
    _, _, wkb, (rows,) = pyogrio.raw.read(roofs, layer="roofs", columns=["label"])
    done = align_labels(raster, labels, gsd_m, AlignOptions())
    ground = ground_crs(labels.crs, tuple(shapely.total_bounds(labels.polygons)))
    true = project(shapely.from_wkb(wkb), labels.crs, ground)
    old = project(labels.polygons[rows], labels.crs, ground)
    new = project(done.labels.polygons[rows], labels.crs, ground)
    e = apart_m(new, true)
    overlap = shapely.area(shapely.intersection(new, true))
    iou = overlap / (shapely.area(new) + shapely.area(true) - overlap)
    start_iou = shapely.area(shapely.intersection(old, true))
    start_iou /= shapely.area(old) + shapely.area(true) - start_iou
    inside = {
        "before": inside_mean(raster, labels.polygons),
        "after": inside_mean(raster, done.labels.polygons),
    }
    return {
        "all labels": done.summary(),
        "mean probability inside": inside,
        "roofs": len(rows),
        "moved": int((done.status[rows] == "moved").sum()),
        "before": {
            **spread(apart_m(old, true)),
            "median IoU": round(float(np.median(start_iou)), 3),
        },
        "after": {**spread(e), "median IoU": round(float(np.median(iou)), 3)},
        "within 1 m by confidence": reliability(e, confidences(done)[rows]),
        "each": [
            [int(row), round(float(a), 2), round(float(b), 2), round(float(c), 2)]
            for row, a, b, c in zip(
                rows, apart_m(old, true), e, confidences(done)[rows], strict=True
            )
        ],
    }


def apart_m(one: NDArray[np.object_], other: NDArray[np.object_]) -> NDArray[np.float64]:
    """Distances between the middles of polygons."""
    return np.asarray(shapely.distance(shapely.centroid(one), shapely.centroid(other)))


def confidences(done: Aligned) -> NDArray[np.float64]:
    """The confidence of each label."""
    return np.asarray(pa.array(done.labels.fields["confidence"].combine_chunks()), np.float64)


def spread(e: NDArray[np.float64]) -> dict[str, Any]:
    """Number, median, 90th percentile, and shares within half a metre and one."""
    if not len(e):
        return {"n": 0}
    return {
        "n": len(e),
        "median_m": round(float(np.median(e)), 2),
        "p90_m": round(float(np.quantile(e, 0.9)), 2),
        "within 0.5 m": round(float((e < 0.5).mean()), 3),
        "within 1 m": round(float((e < 1).mean()), 3),
    }


def reliability(e: NDArray[np.float64], c: NDArray[np.float64]) -> list[list[float]]:
    """Rows of: least confidence, number, mean confidence, share within 1 m."""
    which = np.digitize(c, BINS[1:-1])
    return [
        [BINS[k], int((which == k).sum()), round(float(c[which == k].mean()), 3),
         round(float((e[which == k] < 1).mean()), 3)]
        for k in range(len(BINS) - 1)
        if (which == k).any()
    ]  # fmt: skip


def inside_mean(raster: Path, polygons: NDArray[np.object_]) -> float:
    """Mean building probability of the pixels inside the polygons, in the raster's CRS."""
    from rasterio.features import rasterize

    with rasterio.open(raster) as source:
        burnt = rasterize(polygons, out_shape=source.shape, transform=source.transform)
        return round(float(source.read(1)[burnt == 1].mean() / 255), 3)


if __name__ == "__main__":
    main()
