"""Regularisation side by side with buildingregulariser, on one core and in one process.

    python -m benchmarks.regularize POLYGONS|MASK [--gsd METRES] [--noise] [--runs N] [--limit N]

Takes a mask (any raster, above zero is building) or a layer of polygons, drawn into pixels of
`--gsd` metres; with `--noise` the edges are then blurred and roughened as a network would. Both
programs get the same pixel outlines, with their default settings. Figures: intersection over union
with the pixels (and, for a layer, with the polygons themselves), vertices, invalid outlines, pairs
that overlap, share of corners within 1° of a right angle, and milliseconds of processor time a
polygon, the least of `--runs` alternating runs. `--limit` takes about that many outlines of a large
layer, in whole groups.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.features import shapes as vectorise
from rasterio.transform import from_origin
from scipy import ndimage
from shapely import Polygon

from buildext.footprints.raw import RawBuilding, RawGroup
from buildext.footprints.shape import ShapeOptions, shape_groups

LEAST_AREA_M2 = 5.0
LEAST_HOLE_M2 = 4.0
BATCH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--gsd", type=float, default=0.15)
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    if arguments.source.suffix in (".tif", ".tiff", ".vrt"):
        with rasterio.open(arguments.source) as raster:
            labels, _ = ndimage.label(raster.read(1) > 0)
        truth: dict[int, Polygon] = {}
    else:
        labels, truth = draw_layer(arguments.source, arguments.gsd)
    if arguments.noise:
        labels = roughened(labels, arguments.gsd)
    outlines, names = outlines_of(labels, arguments.gsd)
    groups = touching(outlines)
    if arguments.limit:
        groups, outlines, names = limited(groups, outlines, names, arguments.limit)
    meant = [truth.get(name) for name in names]
    compare(groups, outlines, meant, arguments.gsd, arguments.runs)


def draw_layer(path: Path, gsd_m: float) -> tuple[np.ndarray, dict[int, Polygon]]:
    """Polygons as an int32 image of labels, and the polygons in pixels by label."""
    layer = pyogrio.read_dataframe(path)
    layer = layer.to_crs(layer.estimate_utm_crs())
    left, _, right, top = layer.total_bounds
    bottom = layer.total_bounds[1]
    transform = from_origin(left - 10, top + 10, gsd_m, gsd_m)
    size = int((top - bottom + 20) / gsd_m), int((right - left + 20) / gsd_m)
    labels = rasterize(
        [(shape, n + 1) for n, shape in enumerate(layer.geometry)],
        size,
        transform=transform,
        dtype="int32",
    )
    corner = np.array([transform.c, transform.f])
    scale = np.array([gsd_m, -gsd_m])
    truth = {
        n + 1: shapely.transform(shape, lambda xy: (xy - corner) / scale)
        for n, shape in enumerate(layer.geometry)
    }
    return labels, truth


def roughened(labels: np.ndarray, gsd_m: float, seed: int = 0) -> np.ndarray:
    """Labels with edges as a network draws them: corners rounded, lines uneven."""
    rng = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter((labels > 0).astype(np.float32), 0.35 / gsd_m)
    noise = ndimage.gaussian_filter(rng.standard_normal(labels.shape), 0.5 / gsd_m)
    mask = soft + 0.09 * noise / noise.std() > 0.5
    nearest = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    return np.where(mask, labels[tuple(nearest)], 0)


def outlines_of(labels: np.ndarray, gsd_m: float) -> tuple[np.ndarray, list[int]]:
    """Pixel outlines and their labels, without crumbs."""
    found, names = [], []
    for geometry, name in vectorise(labels.astype(np.int32), mask=labels > 0, connectivity=4):
        shape = shapely.geometry.shape(geometry)
        holes = [h for h in shape.interiors if Polygon(h).area * gsd_m**2 > LEAST_HOLE_M2]
        outline = Polygon(shape.exterior, holes)
        if outline.area * gsd_m**2 >= LEAST_AREA_M2:
            found.append(outline)
            names.append(int(name))
    return shapely.orient_polygons(np.array(found)), names


def limited(
    groups: list[RawGroup], outlines: np.ndarray, names: list[int], limit: int
) -> tuple[list[RawGroup], np.ndarray, list[int]]:
    """The first groups that together hold `limit` outlines, and what belongs to them."""
    held = np.cumsum([len(group) for group in groups])
    groups = groups[: int(np.searchsorted(held, limit)) + 1]
    chosen = {id(building.polygon) for group in groups for building in group}
    taken = [n for n, outline in enumerate(outlines) if id(outline) in chosen]
    return groups, outlines[taken], [names[n] for n in taken]


def touching(outlines: np.ndarray) -> list[RawGroup]:
    """The outlines as groups of buildings that share a pixel side."""
    parent = list(range(len(outlines)))

    def root(member: int) -> int:
        while parent[member] != member:
            member = parent[member]
        return member

    for a, b in shapely.STRtree(outlines).query(outlines, predicate="intersects").T.tolist():
        if a < b and shapely.intersection(outlines[a], outlines[b]).length > 0:
            parent[root(a)] = root(b)
    groups: dict[int, list[int]] = defaultdict(list)
    for member in range(len(outlines)):
        groups[root(member)].append(member)
    return [
        tuple(RawBuilding(outlines[m], 1.0, int(outlines[m].area), False) for m in members)
        for members in groups.values()
    ]


Result = list[tuple[Polygon, Polygon]]
"""Pixel outline and result, both in pixels."""


def ours(groups: list[RawGroup], mode: str, gsd_m: float) -> Result:
    shaped = []
    for start in range(0, len(groups), BATCH):
        shaped += shape_groups(groups[start : start + BATCH], ShapeOptions(mode), gsd_m)
    return [(building.raw.polygon, building.polygon) for group in shaped for building in group]


def theirs(outlines: np.ndarray, gsd_m: float) -> Result:
    from buildingregulariser import regularize_geodataframe

    metres = shapely.transform(outlines, lambda xy: xy * gsd_m)
    # It numbers its results anew: a column tells what each was made from.
    frame = geopandas.GeoDataFrame(
        {"number": np.arange(len(metres))}, geometry=metres, crs="EPSG:32630"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = regularize_geodataframe(frame, num_cores=1)
    pixels = shapely.transform(np.array(result.geometry), lambda xy: xy / gsd_m)
    return list(zip(outlines[result["number"]], pixels, strict=True))


def compare(
    groups: list[RawGroup],
    outlines: np.ndarray,
    truth: list[Polygon | None],
    gsd_m: float,
    runs: int,
) -> None:
    """Run both in turn and print the table."""
    programs: dict[str, Callable[[], Result]] = {
        "buildingregulariser": lambda: theirs(outlines, gsd_m),
        "right-angles": lambda: ours(groups, "right-angles", gsd_m),
        "right-angles-and-diagonals": lambda: ours(groups, "right-angles-and-diagonals", gsd_m),
        "any-angle": lambda: ours(groups, "any-angle", gsd_m),
        "simplify": lambda: ours(groups, "simplify", gsd_m),
    }
    seconds: dict[str, list[float]] = defaultdict(list)
    results: dict[str, Result] = {}
    for _ in range(runs):
        for name, program in programs.items():
            start = time.process_time()
            results[name] = program()
            seconds[name].append(time.process_time() - start)

    truth_of = dict(zip(shapely.to_wkb(outlines), truth, strict=True))
    print(f"{len(outlines)} outlines in {len(groups)} groups at {gsd_m} m")
    head = (
        "",
        "IoU",
        "IoU p5",
        "to truth",
        "vertices",
        "invalid",
        "overlaps",
        "90°",
        "ms",
        "ratio",
    )
    print("| " + " | ".join(head) + " |")
    print("|---|" + "---:|" * (len(head) - 1))
    base = min(seconds["buildingregulariser"])
    pixels = [(outline, outline) for outline in outlines]
    print(row("pixels", pixels, truth_of, float("nan"), float("nan"), len(outlines)))
    for name, result in results.items():
        least = min(seconds[name])
        print(row(name, result, truth_of, least, base / least, len(outlines)))


def row(name: str, result: Result, truth_of: dict, seconds: float, ratio: float, count: int) -> str:
    """One line of the table."""
    before = np.array([raw for raw, _ in result])
    after = np.array([shape for _, shape in result])
    score = overlap(before, after)
    meant = [truth_of[key] for key in shapely.to_wkb(before)]
    known = np.array([shape is not None for shape in meant])
    true = overlap(np.array(meant)[known], after[known]).mean() if known.any() else float("nan")
    a, b = shapely.STRtree(after).query(after, predicate="intersects")
    pair = a < b
    common = shapely.area(shapely.intersection(after[a[pair]], after[b[pair]]))
    angles = np.concatenate([corner_angles(shape) for shape in after])
    return (
        f"| {name} | {score.mean():.3f} | {np.percentile(score, 5):.3f} | {true:.3f} "
        f"| {shapely.get_num_coordinates(after).mean():.1f} | {(~shapely.is_valid(after)).sum()} "
        f"| {(common > 0.01).sum()} | {(np.abs(angles - 90) < 1).mean():.2f} "
        f"| {1000 * seconds / count:.2f} | {ratio:.1f} |"
    )


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return shapely.area(shapely.intersection(a, b)) / shapely.area(shapely.union(a, b))


def corner_angles(polygon: Polygon) -> np.ndarray:
    """Degrees by which the outline turns at each corner, 0 to 180."""
    angles = [np.empty(0)]  # the other program may leave nothing of an outline
    for ring in shapely.get_rings(polygon).tolist():
        edges = np.diff(shapely.get_coordinates(ring), axis=0)
        heading = np.degrees(np.arctan2(edges[:, 1], edges[:, 0]))
        angles.append(np.abs((heading - np.roll(heading, 1) + 180) % 360 - 180))
    return np.concatenate(angles)


if __name__ == "__main__":
    main()
