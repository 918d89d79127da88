"""The off-nadir benchmark: Melbourne rendered at five angles, and a score by building height.

    python -m benchmarks.off_nadir render DATA                    # once: the scenes and the split
    python -m benchmarks.off_nadir check DATA                     # are they the frozen ones?
    python -m benchmarks.off_nadir score DATA --model default --json default.json
    python -m benchmarks.off_nadir score DATA --footprints --json footprints.json

DATA is the folder that dataset cards start from (`BUILDEXT_DATA`); it holds
`heights/melbourne_cbd_tiers.gpkg`, and gets `off_nadir/`. Everything else is fixed here: angles,
azimuth, resolution, seed, the areas of training and test, and in `off_nadir.json` what the files
must hash to. `docs/benchmark.md` has the protocol and the leader board.

The sensor stands in the north, so all roofs lean south, along the borders of the areas, which run
from north to south. A building therefore lies in the same area under every angle, and no roof that
is tested can be seen anywhere in training.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ANGLES_DEG = (5, 15, 25, 35, 45)
AZIMUTH_DEG = 0.0
GSD_M = 0.5
SEED = 20
TILE_PX = 256
FOOTPRINTS = Path("heights") / "melbourne_cbd_tiers.gpkg"
FOLDER = "off_nadir"
FROZEN = Path(__file__).with_suffix(".json")
HASHED = ("scene.tif", "roof.tif", "roofs.gpkg", "footprints.gpkg")

# Columns of tiles that repeat from west to east: training, half a tile of nothing, two of test,
# half a tile of nothing, training. Test tiles are those of the tile mean.
PERIOD_TILES = 7.0
TEST_TILES = (2.0, 4.0)
GAP_TILES = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["render", "check", "score"])
    parser.add_argument("data", type=Path, help="the folder that dataset cards start from")
    parser.add_argument("--model", default="default", help="bundled name or model folder")
    parser.add_argument("--gsd", type=float, help="run the model at this resolution in metres")
    parser.add_argument("--threads", type=int, default=0, help="of the engine; 0 takes all")
    parser.add_argument(
        "--footprints", action="store_true", help="score the map's footprints, no model"
    )
    parser.add_argument("--json", type=Path, help="write the scores here")
    arguments = parser.parse_args()
    if arguments.what == "render":
        render(arguments.data)
    elif arguments.what == "check":
        check(arguments.data)
    else:
        score(arguments)


def render(data: Path) -> None:
    """Render the scenes and write the areas."""
    folder = data / FOLDER
    folder.mkdir(exist_ok=True)
    for angle in ANGLES_DEG:
        out = folder / f"angle_{angle:02d}"
        if not out.exists():
            view = ["--off-nadir", angle, "--azimuth", AZIMUTH_DEG, "--gsd", GSD_M, "--seed", SEED]
            buildext("simulate", data / FOOTPRINTS, "-o", out, *view)
        # A dataset card tells scenes apart by the names of their images.
        shutil.copyfile(out / "scene.tif", folder / f"angle_{angle:02d}.tif")
    write_areas(folder)
    print(json.dumps(hashes(data), indent=2))


def write_areas(folder: Path) -> None:
    """`train.gpkg` and `test.gpkg`: strips from the scene's upper to its lower border."""
    import pyogrio
    import rasterio
    import shapely

    with rasterio.open(folder / "angle_05.tif") as scene:
        width, height = scene.width, scene.height
        west, north, crs = scene.transform.c, scene.transform.f, scene.crs.to_wkt()
    across = width / TILE_PX
    test, train, free = [], [], 0.0
    start = 0.0
    while start < across:
        low, high = start + TEST_TILES[0], start + TEST_TILES[1]
        train.append((free, min(low - GAP_TILES, across)))
        if low < across:
            test.append((low, min(high, across)))
        free = high + GAP_TILES
        start += PERIOD_TILES
    if free < across:
        train.append((free, across))
    side_m = TILE_PX * GSD_M
    for name, strips in (("train", train), ("test", test)):
        boxes = [
            shapely.box(west + a * side_m, north - height * GSD_M, west + b * side_m, north)
            for a, b in strips
        ]
        pyogrio.raw.write(
            folder / f"{name}.gpkg",
            shapely.to_wkb(boxes),
            [],
            [],
            geometry_type="Polygon",
            crs=crs,
            layer=name,
        )


def hashes(data: Path) -> dict[str, Any]:
    """What the files hash to; of the rendered ones as their `simulation.json` says."""
    found: dict[str, Any] = {FOOTPRINTS.name: sha256(data / FOOTPRINTS)}
    for angle in ANGLES_DEG:
        name = f"angle_{angle:02d}"
        found[name] = {part: sha256(data / FOLDER / name / part) for part in HASHED}
    return found


def check(data: Path) -> None:
    """Compare the files with the frozen hashes.

    Raises:
        SystemExit: a file differs.
    """
    frozen = json.loads(FROZEN.read_text())
    found = hashes(data)
    wrong = [
        f"{name}/{part}" if isinstance(found[name], dict) else name
        for name in found
        for part in (found[name] if isinstance(found[name], dict) else [""])
        if (found[name][part] if part else found[name])
        != (frozen[name][part] if part else frozen[name])
    ]
    if wrong:
        raise SystemExit(f"other files than the frozen ones: {', '.join(wrong)}")
    print(f"all {1 + len(ANGLES_DEG) * len(HASHED)} files are the frozen ones")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def score(arguments: argparse.Namespace) -> None:
    """Extract and evaluate the test area under each angle, and add the counts up."""
    folder = arguments.data / FOLDER
    name = "footprints" if arguments.footprints else Path(arguments.model).name
    work = folder / "scores" / name
    work.mkdir(parents=True, exist_ok=True)
    area = folder / "test.gpkg"
    by_angle = {}
    for angle in ANGLES_DEG:
        scene = folder / f"angle_{angle:02d}"
        pred = scene / "footprints.gpkg"
        if not arguments.footprints:
            pred = work / f"{angle:02d}.gpkg"
            model = ["--model", arguments.model, "--threads", arguments.threads]
            if arguments.gsd:
                model += ["--gsd", arguments.gsd]
            where = ["--aoi", area, "-o", pred, "--overwrite", "-q"]
            buildext("extract", scene / "scene.tif", *model, *where)
        out = work / f"{angle:02d}.json"
        protocol = ["--height-field", "height_m", "--extent", scene / "scene.tif", "--aoi", area]
        protocol += ["--tile", TILE_PX, "--json", out, "--overwrite", "-q"]
        buildext("evaluate", pred, scene / "roofs.gpkg", *protocol)
        by_angle[angle] = summary(json.loads(out.read_text()))
    found: dict[str, Any] = {"name": name, "gsd_m": arguments.gsd, "angles": by_angle}
    found["all angles"] = together(list(by_angle.values()))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))


def summary(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Of one evaluation: counts of pixels and tile means, for all and by height."""

    def of(scores: dict[str, Any], buildings: int) -> dict[str, Any]:
        pixels, tiles = scores["pixels"], scores["tile_mean"]
        counts = ("true_positives", "false_positives", "false_negatives")
        return {
            "buildings": buildings,
            "counts": [pixels[key] for key in counts],
            "pooled_f1": pixels["f1"],
            "pooled_interval": pixels["f1_interval"],
            "tiles": tiles["tiles"],
            "tile_mean_f1": tiles["f1"],
            "object_f1": scores["objects"]["f1"],
        }

    groups = {"all": of(evaluation, evaluation["objects"]["true"])}
    for of_class in evaluation["classes"]:
        if of_class["objects"]["true"]:
            groups[of_class["name"]] = of(of_class, of_class["objects"]["true"])
    return groups


def together(angles: list[dict[str, Any]]) -> dict[str, Any]:
    """All angles as one scene: counts added, tile means over all of their tiles."""
    found = {}
    for group in angles[0]:
        parts = [angle[group] for angle in angles if group in angle]
        tp, fp, fn = (sum(part["counts"][k] for part in parts) for k in range(3))
        tiles = sum(part["tiles"] for part in parts)
        # A class that fills no tile by half has no tile mean.
        means = sum(part["tile_mean_f1"] * part["tiles"] for part in parts if part["tiles"])
        found[group] = {
            "buildings": sum(part["buildings"] for part in parts),
            "counts": [tp, fp, fn],
            "pooled_f1": 2 * tp / (2 * tp + fp + fn),
            "tiles": tiles,
            "tile_mean_f1": means / tiles if tiles else None,
        }
    return found


def table(found: dict[str, Any]) -> str:
    """A Markdown table: pooled F1 / tile mean."""
    views = {f"{angle}°": scores for angle, scores in found["angles"].items()}
    views["all angles"] = found["all angles"]
    groups = list(found["all angles"])
    lines = [
        f"{found['name']}: pooled / tile mean",
        "| off nadir | " + " | ".join(groups) + " |",
        "|---" * (1 + len(groups)) + "|",
    ]
    for view, scores in views.items():
        cells = [
            "–"
            if group not in scores
            else f"{scores[group]['pooled_f1']:.3f} / "
            + (f"{scores[group]['tile_mean_f1']:.3f}" if scores[group]["tiles"] else "–")
            for group in groups
        ]
        lines.append(f"| {view} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def buildext(*arguments: object) -> None:
    """Run the command line in a process of its own.

    Raises:
        CalledProcessError: it failed.
    """
    subprocess.run([sys.executable, "-m", "buildext", *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
