"""Time and memory of the end of a mosaic on millions of buildings.

    python -m benchmarks.mosaic_merge [--buildings 5000000] [--formats parquet,gpkg] [--folder DIR]

The files of the blocks are made up: outlines with right angles (rectangles and L-shapes of 6 to
40 m), packed as in a town, four in a thousand square metres, the same for every block but for its
place. Then `finish` runs in a process of its own; wall clock, processor time and peak memory are
the kernel's. Making the files is not measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from benchmarks.measure import measure
from buildext.footprints.write import open_writer
from buildext.mosaic.finish import finish
from buildext.mosaic.grid import FIRST_BLOCK, BlockId, MosaicGrid
from buildext.mosaic.outline import BLOCK_SCHEMA, footprints_path
from buildext.mosaic.rows import BlockRow, SourceRow

GSD_M = 0.5
BLOCK_PX = 8192
PITCH_M = 16.0  # from one building to the next


def grid() -> MosaicGrid:
    """Blocks of 4 km in UTM 33."""
    shift = FIRST_BLOCK * BLOCK_PX * GSD_M
    transform = Affine(GSD_M, 0, 300_000 - shift, 0, -GSD_M, 5_900_000 + shift)
    wkt = CRS.from_epsg(25833).to_wkt()
    return MosaicGrid(wkt, transform, GSD_M, BLOCK_PX, 0, 1, ("building",))


def outlines(count: int) -> NDArray[np.object_]:
    """Buildings of one block, metres from its upper left corner, y downwards, `(count,)`."""
    random = np.random.default_rng(0)
    across = int(BLOCK_PX * GSD_M / PITCH_M)
    places = np.sort(random.choice(across * across, count, replace=False))
    y, x = np.divmod(places, across)
    size = random.uniform(6, 14, (count, 2))
    notch = size * random.uniform(0.3, 0.7, (count, 2)) * (random.random((count, 1)) < 0.5)
    (w, h), (u, v) = size.T, notch.T
    zero = np.zeros(count)
    ring = np.stack(
        [
            np.stack([zero, w, w, w - u, w - u, zero, zero], axis=1) + (x * PITCH_M)[:, None],
            np.stack([zero, zero, h - v, h - v, h, h, zero], axis=1) + (y * PITCH_M)[:, None],
        ],
        axis=2,
    )
    return shapely.polygons(ring)


def make(out: Path, buildings: int, per_block: int) -> None:
    """Write the files of the blocks and what the ledger would say of them."""
    lattice = grid()
    plan = outlines(per_block)
    area_m2, perimeter_m = shapely.area(plan).round(2), shapely.length(plan).round(2)
    random = np.random.default_rng(1)
    blocks = -(-buildings // per_block)
    across = max(1, round(blocks**0.5))
    (out / "footprints").mkdir(parents=True)
    names = []
    for number in range(blocks):
        count = min(per_block, buildings - number * per_block)
        block = BlockId(FIRST_BLOCK + number // across, FIRST_BLOCK + number % across)
        window = lattice.window(block)
        x0, y0 = lattice.transform @ (window.col, window.row)
        placed = shapely.transform(plan[:count], lambda xy: (xy * (1, -1)) + (x0, y0))  # noqa: B023
        columns = {
            "id": number * 1_000_000 + np.arange(count),
            "confidence": random.uniform(0.5, 1, count).round(4),
            "area_m2": area_m2[:count],
            "perimeter_m": perimeter_m[:count],
            "reg_status": np.full(count, "regularised"),
            "touches_edge": np.zeros(count, bool),
            "source_number": (np.arange(count) % 3 + 1 + number % 90).astype(np.int32),
            "geometry": shapely.to_wkb(shapely.orient_polygons(placed)),
        }
        batch = pa.RecordBatch.from_pydict(columns, schema=BLOCK_SCHEMA)
        with open_writer(
            footprints_path(out, block), lattice.crs, metadata={}, schema=BLOCK_SCHEMA
        ) as writer:
            writer.write(batch)
        names.append((block.name, count))
    (out / "blocks.json").write_text(json.dumps(names))


def merge(out: Path, formats: tuple[str, ...]) -> None:
    """What is measured."""
    names = json.loads((out / "blocks.json").read_text())
    rows = [
        BlockRow(BlockId.parse(name), BLOCK_PX**2, count, 0.0, 0.0, {}) for name, count in names
    ]
    sources = [SourceRow(n, f"sheet_{n:03d}.tif", "used", "", "", "") for n in range(1, 100)]
    done = finish(out, grid(), rows, sources, {"label_kind": "roof"}, formats)
    sys.stdout.write(f"{done.totals.all.buildings}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buildings", type=int, default=5_000_000)
    parser.add_argument("--per-block", type=int, default=20_000)
    parser.add_argument("--formats", default="parquet,gpkg")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--merge", action="store_true", help="the measured part alone")
    args = parser.parse_args()
    formats = tuple(args.formats.split(","))
    if args.merge:
        merge(args.folder, formats)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        out = Path(name) / "mosaic"
        start = time.perf_counter()
        make(out, args.buildings, args.per_block)
        print(f"files made in {time.perf_counter() - start:.0f} s")
        command = ["-m", "benchmarks.mosaic_merge", "--merge", "--folder", str(out)]
        usage = measure([*command, "--formats", args.formats])
        assert usage.output.split()[-1] == str(args.buildings), usage.output
        size = sum(path.stat().st_size for path in out.glob("buildings*"))
        size += sum(path.stat().st_size for path in (out / "buildings").glob("*"))
        print(
            f"{args.buildings} buildings, {args.formats}: {usage.wall_s:.0f} s, "
            f"{usage.cpu_s:.0f} core-seconds, peak {usage.peak_bytes / 1e6:.0f} MB, "
            f"outputs {size / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    main()
