"""Time and memory of `buildext evaluate` on two layers of a million polygons each.

    python -m benchmarks.evaluate_million [--buildings 1000000] [--street 4] [--folder DIR]

The reference is the bundled block of Kampala, real outlines that stand wall to wall, repeated over
a grid of streets, with heights drawn for them. The prediction is the same buildings drawn badly:
each turned, scaled and shifted by a little, one in twenty missing, and one in twenty more added
where none stands. All draws come from one seed, so the files are the same on every machine.

The command runs in a process of its own; wall clock, processor time and peak memory are the
kernel's. Making the layers is not measured.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray

from benchmarks.measure import measure

BLOCK = Path(__file__).parent.parent / "datasets" / "kampala_b" / "buildings.gpkg"
CRS = "EPSG:32636"
SEED = 0
MISSING = 0.05
EXTRA = 0.05


def block(path: Path = BLOCK) -> NDArray[np.object_]:
    """The outlines of the real block in metres, its lower left corner at the origin, `(n,)`."""
    meta, _, wkb, _ = pyogrio.raw.read(path, columns=[])
    if meta["crs"] != CRS:
        import pyproj

        step = pyproj.Transformer.from_crs(meta["crs"], CRS, always_xy=True)
        outlines = shapely.transform(
            shapely.from_wkb(wkb), lambda xy: np.column_stack(step.transform(*xy.T))
        )
    else:
        outlines = shapely.from_wkb(wkb)
    corner = shapely.total_bounds(outlines)[:2]
    return shapely.transform(outlines, lambda xy: xy - corner)


def repeat(outlines: NDArray[np.object_], buildings: int, street_m: float) -> NDArray[np.object_]:
    """So many outlines, in copies of the block with streets between them, `(buildings,)`."""
    width, height = shapely.total_bounds(outlines)[2:] + street_m
    copies = math.ceil(buildings / len(outlines))
    columns = math.ceil(math.sqrt(copies * height / width))
    copy = np.repeat(np.arange(copies), len(outlines))[:buildings]
    # Somewhere in the zone's middle, so that the plane of the evaluation is a usual one.
    corner = np.column_stack([400_000 + copy % columns * width, 30_000 + copy // columns * height])
    everywhere = np.tile(outlines, copies)[:buildings]
    return _moved(everywhere, lambda xy, of: xy + corner[of])


def draw_badly(outlines: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.object_]:
    """The same buildings as a network might have them; some missing, some made up."""
    n = len(outlines)
    fate = rng.random(n)
    kept = outlines[fate >= MISSING]
    extra = outlines[fate >= 1 - EXTRA]
    # Half a block farther they lie across other buildings, or in the street.
    extra = shapely.transform(extra, lambda xy: xy + np.array([37.0, 41.0]))
    drawn = np.concatenate([kept, extra])
    middle = shapely.get_coordinates(shapely.centroid(drawn))
    angle = rng.normal(0, 0.04, len(drawn))
    scale = rng.normal(1, 0.04, len(drawn))
    shift = rng.normal(0, 0.4, (len(drawn), 2))

    def redraw(xy: NDArray[np.float64], of: NDArray[np.intp]) -> NDArray[np.float64]:
        away = (xy - middle[of]) * scale[of, None]
        sine, cosine = np.sin(angle[of]), np.cos(angle[of])
        turned = np.column_stack(
            [cosine * away[:, 0] - sine * away[:, 1], sine * away[:, 0] + cosine * away[:, 1]]
        )
        return middle[of] + turned + shift[of]

    return _moved(drawn, redraw)


def _moved(polygons: NDArray[np.object_], move) -> NDArray[np.object_]:  # type: ignore[no-untyped-def]
    """Polygons with `move(xy, polygon of each corner)` done to their corners."""
    xy, of = shapely.get_coordinates(polygons, return_index=True)
    return shapely.set_coordinates(polygons.copy(), move(xy, of))


def write(
    path: Path, polygons: NDArray[np.object_], field: str, values: NDArray[np.float64]
) -> None:
    """A GeoPackage of polygons with one field of numbers."""
    pyogrio.raw.write(
        path,
        shapely.to_wkb(polygons),
        [values],
        [field],
        geometry_type="Unknown",
        crs=CRS,
        layer="buildings",
    )


def make(folder: Path, buildings: int, street_m: float) -> tuple[Path, Path]:
    """Prediction and reference, made once."""
    pred = folder / f"pred_{buildings}_{street_m:g}.gpkg"
    ref = folder / f"ref_{buildings}_{street_m:g}.gpkg"
    if not (pred.exists() and ref.exists()):
        rng = np.random.default_rng(SEED)
        truth = repeat(block(), buildings, street_m)
        guess = draw_badly(truth, rng)
        write(ref, truth, "height_m", rng.lognormal(math.log(12), 0.9, len(truth)).round(1))
        write(pred, guess, "confidence", rng.beta(6, 2, len(guess)).round(3))
    return pred, ref


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--buildings", type=int, default=1_000_000)
    parser.add_argument("--street", type=float, default=4.0, help="metres between the blocks")
    parser.add_argument("--folder", type=Path, help="keep the layers here for the next time")
    arguments = parser.parse_args()
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        run(arguments, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        run(arguments, Path(name))


def run(arguments: argparse.Namespace, folder: Path) -> None:
    pred, ref = make(folder, arguments.buildings, arguments.street)
    scores = folder / "scores.json"
    command = ["-m", "buildext", "evaluate", str(pred), str(ref), "--height-field", "height_m"]
    usage = measure([*command, "--json", str(scores), "--overwrite", "-q"])
    found = json.loads(scores.read_text())
    extent, objects = found["extent"], found["objects"]
    print(
        f"{found['prediction_layer']['read']:,} predictions against "
        f"{found['reference_layer']['read']:,} buildings, "
        f"{extent['width_px'] * extent['height_px'] / 1e6:,.0f} MP: "
        f"{usage.wall_s:.0f} s, {usage.cpu_s:.0f} core-s, peak {usage.peak_bytes / 1e9:.2f} GB"
    )
    print(
        f"pixel F1 {found['pixels']['f1']:.4f}, object F1 {objects['f1']:.4f} "
        f"(matched {objects['true_positives']:,}, false {objects['false_positives']:,}, "
        f"missed {objects['false_negatives']:,})"
    )


if __name__ == "__main__":
    main()
