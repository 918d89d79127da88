"""A city of many files, done in several ways: is it the same city, and what does each way take?

    python -m benchmarks.mosaic_city OUT [--rows 15] [--side 1000] [--flags "--block 4096"]

The files are views and copies of a bundled scene: 8 and 16 bits, two CRS, overlaps, holes, one
file that is cut off. The mosaic is done by one process, by two, by a Dask cluster of two workers,
and by two processes that are killed with all they have three times; probabilities, sources and
buildings must be equal to the last bit. What two workers gain over one is compared with what two
processes gain that do nothing but count, in the same minutes on the same cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import Resampling, calculate_default_transform, reproject

from buildext.mosaic.ledger import read_ledger
from buildext.mosaic.standing import standing

ROOT = Path(__file__).parents[1]
SCENE = ROOT / "datasets" / "kampala_b" / "scene.tif"
UTM = "EPSG:32636"
_KILLS = 3
_COUNT_TO = 30_000_000


def write_city(folder: Path, rows: int, side_px: int) -> int:
    """Write about `rows` × `rows` files; returns their number."""
    folder.mkdir(parents=True)
    with rasterio.open(SCENE) as scene:
        place, size_px = scene.transform, scene.width
    side_px = min(side_px, size_px)
    step_px = side_px * 9 // 10
    chance = random.Random(0)
    count = 0
    for row in range(rows):
        for col in range(rows):
            number = row * rows + col
            if number % 17 == 5:
                continue
            count += 1
            crop = (
                chance.randrange(size_px - side_px + 1),
                chance.randrange(size_px - side_px + 1),
            )
            there = place @ Affine.translation(col * step_px, row * step_px)
            path = folder / f"{row:03d}_{col:03d}"
            if number % 13 == 3:
                _write_utm(path.with_suffix(".tif"), crop, side_px, there)
            else:
                _write_view(path.with_suffix(".vrt"), crop, side_px, there, deep=number % 5 == 2)
    cut = folder / "000_003.tif"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    return count


def _write_view(
    path: Path, crop: tuple[int, int], side_px: int, place: Affine, *, deep: bool
) -> None:
    """A VRT that shows a part of the scene, as 16 bits where it is to be `deep`."""
    with rasterio.open(SCENE) as scene:
        crs = scene.crs.to_wkt().replace("<", "&lt;")
    kind, source = ("UInt16", "ComplexSource") if deep else ("Byte", "SimpleSource")
    ratio = "<ScaleRatio>40</ScaleRatio>" if deep else ""
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}"><{source}>'
        f"<SourceFilename>{SCENE}</SourceFilename><SourceBand>{band}</SourceBand>"
        f'<SrcRect xOff="{crop[0]}" yOff="{crop[1]}" xSize="{side_px}" ySize="{side_px}"/>'
        f'<DstRect xOff="0" yOff="0" xSize="{side_px}" ySize="{side_px}"/>{ratio}</{source}>'
        "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    transform = ",".join(map(repr, place.to_gdal()))
    path.write_text(
        f'<VRTDataset rasterXSize="{side_px}" rasterYSize="{side_px}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>{bands}</VRTDataset>"
    )


def _write_utm(path: Path, crop: tuple[int, int], side_px: int, place: Affine) -> None:
    """A copy of a part of the scene, turned over into UTM."""
    with rasterio.open(SCENE) as scene:
        window = rasterio.windows.Window(*crop, side_px, side_px)
        pixels: NDArray[np.uint8] = scene.read(window=window)
        crs = scene.crs
    bounds = rasterio.transform.array_bounds(side_px, side_px, place)
    turned_place, width, height = calculate_default_transform(crs, UTM, side_px, side_px, *bounds)
    turned = np.zeros((3, height, width), np.uint8)
    reproject(
        pixels,
        turned,
        src_crs=crs,
        src_transform=place,
        dst_crs=UTM,
        dst_transform=turned_place,
        resampling=Resampling.bilinear,
    )
    profile = {"count": 3, "dtype": "uint8", "crs": UTM, "nodata": 0, "compress": "deflate"}
    shape = {"height": height, "width": width, "transform": turned_place}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, **profile, **shape) as file:
        file.write(turned)


def digest(out: Path) -> str:
    """Hash of all pixels of all blocks and of the layer."""
    found = hashlib.sha256()
    for path in sorted((out / "probability").glob("*.tif")):
        with rasterio.open(path) as raster:
            found.update(path.name.encode())
            found.update(np.ascontiguousarray(raster.read()).tobytes())
            found.update(np.ascontiguousarray(raster.dataset_mask()).tobytes())
    for path in sorted((out / "buildings").glob("*.parquet")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def run(city: Path, out: Path, flags: list[str]) -> float:
    """Run the command; seconds."""
    start = time.perf_counter()
    subprocess.run(_command(city, out, flags), check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def run_killed(city: Path, out: Path, flags: list[str], seed: int) -> list[int]:
    """Kill the run and its workers at three moments; tasks done at each, then it is completed."""
    chance = random.Random(seed)
    tasks = 0
    moments = []
    for kill in range(1, _KILLS + 1):
        process = subprocess.Popen(_command(city, out, flags), stderr=subprocess.DEVNULL)
        # Some way into each quarter of the work.
        while process.poll() is None:
            tasks = max(tasks, _known_tasks(out))
            if tasks and _done(out) >= tasks * (kill - 1 + chance.random()) / (_KILLS + 1):
                break
            time.sleep(0.05)
        time.sleep(chance.random())
        workers = psutil.Process(process.pid).children(recursive=True)
        for one in (psutil.Process(process.pid), *workers):
            one.send_signal(signal.SIGKILL)
        process.wait()
        moments.append(_done(out))
    run(city, out, flags)
    return moments


def _known_tasks(out: Path) -> int:
    try:
        with read_ledger(out) as ledger:
            return len(ledger.tasks())
    except (ValueError, OSError):
        return 0


def _done(out: Path) -> int:
    with read_ledger(out) as ledger:
        return sum(row.state == "done" for row in ledger.tasks().values())


def _command(city: Path, out: Path, flags: list[str]) -> list[str]:
    program = [sys.executable, "-m", "buildext", "mosaic", str(city), "-o", str(out)]
    return [*program, "--format", "parquet", "--progress", "none", "--threads", "1", *flags]


def count_up(_: int) -> float:
    """Count; seconds."""
    start = time.perf_counter()
    number = 0
    while number < _COUNT_TO:
        number += 1
    return time.perf_counter() - start


def plain_gain() -> float:
    """What two processes that do nothing but count gain over one."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(abs, range(2), chunksize=1)
        alone = pool.map(count_up, [0], chunksize=1)[0]
        both = max(pool.map(count_up, [0, 0], chunksize=1))
    return 2 * alone / both


def main() -> None:
    """Run everything and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=15)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--flags", default="", help="further options of `buildext mosaic`")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    city, flags = options.out / "city", options.flags.split()
    report: dict[str, Any] = {"files": write_city(city, options.rows, options.side)}
    ways = {
        "one worker": ["--workers", "1"],
        "two workers": ["--workers", "2"],
        "dask": ["--dask", "local", "--workers", "2"],
    }
    gains = [plain_gain()]
    for name, more in ways.items():
        out = options.out / name.replace(" ", "_")
        seconds = run(city, out, [*flags, *more])
        state = standing(out)
        report[name] = {
            "seconds": round(seconds, 1),
            "digest": digest(out),
            "buildings": state.buildings,
            "megapixels": round(state.pixels / 1e6, 2),
            "blocks": sum(state.counts["probability"].values()),
            "damaged": [Path(row.name).name for row in state.damaged],
        }
        gains.append(plain_gain())
    out = options.out / "killed"
    moments = run_killed(city, out, [*flags, *ways["two workers"]], seed=1)
    report["killed"] = {"after tasks": moments, "digest": digest(out)}
    report["equal"] = len({report[way]["digest"] for way in (*ways, "killed")}) == 1
    report["gain of two"] = round(
        report["one worker"]["seconds"] / report["two workers"]["seconds"], 3
    )
    report["gain of counting"] = [round(gain, 3) for gain in gains]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    report["peak MB of any process"] = round(peak / 1024)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
