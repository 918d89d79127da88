"""Do tiles show? Statistics of a result against its own tile grid.

    python -m benchmarks.seams SCENE REFERENCE [--model default]

1. Polygons at tile sizes 512, 768 and 1024: share of the buildings found at the default size that
   match one at IoU ≥ 0.5, and how far the pixel F1 moves.
2. Wrong pixels within 1 m of the reference's outline: their density within 8 px of tile borders
   against that elsewhere.
3. Edges of the raw outlines that lie on a tile border, against those that lie on the lines beside
   it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import rasterio.features
import rasterio.vrt
import scipy.ndimage
import shapely

from buildext.evaluate import EvaluateOptions, Frame, evaluate_files
from buildext.extract.area import Area
from buildext.extract.options import ExtractOptions, Outputs
from buildext.extract.pipeline import open_job, run
from buildext.footprints.shape import ShapeOptions
from buildext.grid.tiling import TileGrid

TILES = (512, 768, 1024)
NEAR_PX = 8


def borders(grid: TileGrid, length: int, count: int) -> np.ndarray:
    """First and last pixel lines of all tiles along an axis, but for the scene's own border."""
    starts = np.arange(count) * grid.stride_px
    lines = np.unique(np.concatenate([starts, starts + grid.tile_px]))
    return lines[(lines > 0) & (lines < length)]


def near(lines: np.ndarray, length: int) -> np.ndarray:
    """Pixels of an axis within `NEAR_PX` of a line."""
    mask = np.zeros(length, bool)
    for line in lines:
        mask[max(line - NEAR_PX, 0) : line + NEAR_PX] = True
    return mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--tile", type=int, help="tile size of 2 and 3; default: the card's")
    parser.add_argument("--overlap", type=int, help="overlap of tiles; default: the card's")
    arguments = parser.parse_args()
    polygons, f1 = {}, {}
    with tempfile.TemporaryDirectory() as name:
        for tile in TILES:
            options = ExtractOptions(
                model=arguments.model, tile_px=tile, overlap_px=arguments.overlap
            )
            output = Path(name) / f"{tile}.gpkg"
            with open_job([arguments.scene], options) as job:
                run(job, Outputs(output))
                frame, window = job.frame, job.window
            grid = Frame.of(frame.crs, frame.transform, window.height, window.width, "scene")
            evaluation = evaluate_files(
                output, arguments.reference, EvaluateOptions(extent=grid, resamples=10)
            )
            f1[tile] = evaluation.to_json()["pixels"]["f1"]
            polygons[tile] = shapely.from_wkb(pyogrio.raw.read(output, layer=0, columns=[])[2])
        print("tile   found  matched  pixel F1")
        for tile in TILES:
            share = matched(polygons[768], polygons[tile])
            print(f"{tile:5d} {len(polygons[tile]):6d}   {share:6.1%}   {f1[tile]:.4f}")
        raw = ExtractOptions(
            model=arguments.model,
            tile_px=arguments.tile,
            overlap_px=arguments.overlap,
            shape=ShapeOptions(mode="none"),
        )
        output = Path(name) / "raw.gpkg"
        with open_job([arguments.scene], raw) as job:
            run(job, Outputs(output))
            frame, window, tiles = job.frame, job.window, job.layout.grid
        found = shapely.from_wkb(pyogrio.raw.read(output, layer=0, columns=[])[2])
    shape = (window.height, window.width)
    truth = reference_mask(arguments.reference, frame, shape)
    guess = rasterio.features.rasterize(found, shape, transform=frame.transform).astype(bool)
    rows = borders(tiles, tiles.height, tiles.rows)
    cols = borders(tiles, tiles.width, tiles.cols)
    close = near(rows, shape[0])[:, None] | near(cols, shape[1])[None]
    reach = max(1, round(1 / frame.gsd_m))
    edge = scipy.ndimage.binary_dilation(truth, iterations=reach)
    edge ^= scipy.ndimage.binary_erosion(truth, iterations=reach)
    wrong = (truth != guess) & edge
    density = [wrong[part & edge].mean() for part in (close, ~close)]
    print(
        f"wrong pixels within 1 m of the outline: {density[0]:.4f} near tile borders, "
        f"{density[1]:.4f} elsewhere, ratio {density[0] / density[1]:.3f}"
    )
    for axis, lines in ((0, rows), (1, cols)):
        steps = np.abs(np.diff(guess.astype(np.int8), axis=axis)).sum(axis=1 - axis)
        inside = lines[(lines > 3) & (lines < shape[axis] - 3)]
        on = sum(int(steps[line - 1]) for line in inside)
        beside = sum(int(steps[line - 1 + shift]) for line in inside for shift in (-2, 2)) / 2
        name = ("horizontal", "vertical")[axis]
        print(f"{name} outline pixels on tile borders {on}, on the lines beside them {beside:.0f}")


def matched(base: np.ndarray, other: np.ndarray) -> float:
    """Share of `base` that overlaps one of `other` at IoU ≥ 0.5."""
    i, j = shapely.STRtree(other).query(base, predicate="intersects")
    common = shapely.area(shapely.intersection(base[i], other[j]))
    union = shapely.area(base[i]) + shapely.area(other[j]) - common
    return len(np.unique(i[common / union >= 0.5])) / len(base)


def reference_mask(path: Path, frame: object, shape: tuple[int, int]) -> np.ndarray:
    """The reference on the grid of the result."""
    if path.suffix == ".tif":
        with (
            rasterio.open(path) as dataset,
            rasterio.vrt.WarpedVRT(
                dataset,
                crs=frame.crs,
                transform=frame.transform,
                height=shape[0],
                width=shape[1],
            ) as warped,
        ):
            return warped.read(1) > 0
    meta, _, geometry, _ = pyogrio.raw.read(path, columns=[])
    carried = Area(shapely.from_wkb(geometry), meta["crs"]).in_crs(frame.crs)
    return rasterio.features.rasterize(carried, shape, transform=frame.transform).astype(bool)


if __name__ == "__main__":
    main()
