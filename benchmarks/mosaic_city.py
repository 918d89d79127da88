"""A city of many files, done in several ways: is it the same city, and what does each way take?

    python -m benchmarks.mosaic_city OUT [--rows 15] [--side 1000] [--flags "--block 4096"]
    python -m benchmarks.mosaic_city OUT … --only one       # then --only two, dask, killed
    python -m benchmarks.mosaic_city BIG --rows 85 --only two --formats parquet,gpkg,pmtiles

The files are views of a bundled scene: 8 and 16 bits, two CRS, overlaps, holes, one file that is
cut off; on the disk they are a few megabytes, however many they are. The mosaic is done by one
process, by two, by a Dask cluster of two workers, and by two processes that are killed with all
they have three times; probabilities, sources and buildings must be equal to the last bit. What two
workers gain over one is compared with what two processes gain that do nothing but count, in the
same minutes on the same cores.

`OUT/report.json` says what came of it: of each way seconds, buildings, a digest of all pixels and
of the layer, where the time went, and the peak memory of workers and of the coordinating process.
With `--only` it grows way by way, and what compares them is worked out from all that are there.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import Resampling, calculate_default_transform, reproject, transform

from buildext.errors import BuildextError
from buildext.mosaic.ledger import read_ledger
from buildext.mosaic.standing import standing

ROOT = Path(__file__).parents[1]
SCENE = ROOT / "datasets" / "kampala_b" / "scene.tif"
UTM = "EPSG:32636"
WAYS = {
    "one": ["--workers", "1"],
    "one core": ["--workers", "1"],
    "two": ["--workers", "2"],
    "dask": ["--dask", "local", "--workers", "2"],
    "killed": ["--workers", "2"],
}
_KILLS = 3
_COUNT_TO = 30_000_000
# So many files in UTM are warped and written; further ones show them at other places.
_UTM_COPIES = 40
_LOOK_AFTER_S = 0.2


def write_city(folder: Path, rows: int, side_px: int) -> dict[str, Any]:
    """Write about `rows` × `rows` files; returns how many they are, and of how many pixels."""
    folder.mkdir(parents=True)
    with rasterio.open(SCENE) as scene:
        place, size_px = scene.transform, scene.width
    side_px = min(side_px, size_px)
    step_px = side_px * 9 // 10
    chance = random.Random(0)
    count = 0
    turned: list[Path] = []
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
                if len(turned) < _UTM_COPIES:
                    turned.append(path.with_suffix(".tif"))
                    _write_utm(turned[-1], crop, side_px, there)
                else:
                    # Not the first, which is to be cut off.
                    _write_utm_view(path.with_suffix(".vrt"), chance.choice(turned[1:]), there)
            else:
                window = (*crop, side_px, side_px)
                deep = number % 5 == 2
                _write_view(path.with_suffix(".vrt"), SCENE, window, there, deep=deep)
    cut = turned[0]
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    return {"files": count, "source gigapixels": round(count * side_px**2 / 1e9, 2)}


def _write_view(
    path: Path,
    shown: Path,
    window: tuple[int, int, int, int],
    place: Affine,
    *,
    deep: bool = False,
    nodata: int | None = None,
) -> None:
    """A VRT of a part of a file (column, row, width, height), as 16 bits where it is `deep`."""
    with rasterio.open(shown) as scene:
        crs = scene.crs.to_wkt().replace("<", "&lt;")
    col, row, width, height = window
    empty = "" if nodata is None else f"<NoDataValue>{nodata}</NoDataValue>"
    kind, source = ("UInt16", "ComplexSource") if deep else ("Byte", "SimpleSource")
    ratio = "<ScaleRatio>40</ScaleRatio>" if deep else ""
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}">{empty}<{source}>'
        f"<SourceFilename>{shown.resolve()}</SourceFilename><SourceBand>{band}</SourceBand>"
        f'<SrcRect xOff="{col}" yOff="{row}" xSize="{width}" ySize="{height}"/>'
        f'<DstRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>{ratio}</{source}>'
        "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    transform = ",".join(map(repr, place.to_gdal()))
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{crs}</SRS>'
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


def _write_utm_view(path: Path, shown: Path, place: Affine) -> None:
    """A VRT of a file in UTM at another place."""
    with rasterio.open(SCENE) as scene, rasterio.open(shown) as there:
        x, y = transform(scene.crs, UTM, [place.c], [place.f])
        step_m = there.transform.a
        # Corners on a lattice of whole pixels, as sheets of one flight have them.
        west, north = (round(value / step_m) * step_m for value in (x[0], y[0]))
        moved = Affine(step_m, 0, west, 0, there.transform.e, north)
        window = (0, 0, there.width, there.height)
    _write_view(path, shown, window, moved, nodata=0)


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


class Watch:
    """The peak memory of a process, and of the largest process below it.

    The kernel keeps each process's high-water mark; it is looked at often enough to be missed only
    in a process that grows in its last moments.
    """

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self._process = process
        self.coordinator_bytes = self.worker_bytes = 0

    def look(self) -> None:
        """Read the marks of all processes that are alive."""
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(self._process.pid).children(recursive=True)
            self.coordinator_bytes = max(self.coordinator_bytes, _peak_bytes(self._process.pid))
            for one in below:
                self.worker_bytes = max(self.worker_bytes, _peak_bytes(one.pid))


def _peak_bytes(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found.group(1)) * 1024 if found else 0


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[Any]]:
    with log.open("ab") as file, subprocess.Popen(command, stderr=file) as process:
        yield process


@contextlib.contextmanager
def held_to_one_core() -> Iterator[None]:
    """Processes that are started meanwhile have one core, and so has this one."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def run(command: list[str], log: Path) -> tuple[float, Watch]:
    """Run the command; seconds, and what memory it took.

    Raises:
        RuntimeError: it failed.
    """
    start = time.perf_counter()
    with _running(command, log) as process:
        watch = Watch(process)
        while process.poll() is None:
            watch.look()
            time.sleep(_LOOK_AFTER_S)
    if process.returncode:
        raise RuntimeError(f"the command ended with {process.returncode}; see {log}")
    return time.perf_counter() - start, watch


def kill_thrice(command: list[str], out: Path, log: Path, seed: int) -> list[int]:
    """Kill the run and its workers at three moments; tasks done at each.

    Raises:
        RuntimeError: it ended before.
    """
    chance = random.Random(seed)
    moments = []
    for kill in range(_KILLS):
        # Some way into each quarter of the work.
        share = (kill + chance.random()) / (_KILLS + 1)
        with _running(command, log) as process:
            while not (tasks := _known_tasks(out)) or _done(out) < tasks * share:
                if process.poll() is not None:
                    raise RuntimeError(f"the command ended before it was killed; see {log}")
                time.sleep(0.05)
            time.sleep(chance.random())
            workers = psutil.Process(process.pid).children(recursive=True)
            for one in (psutil.Process(process.pid), *workers):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGKILL)
            process.wait()
        moments.append(_done(out))
    return moments


def _known_tasks(out: Path) -> int:
    try:
        with read_ledger(out) as ledger:
            return len(ledger.tasks())
    except (BuildextError, OSError):
        return 0  # none yet


def _done(out: Path) -> int:
    with read_ledger(out) as ledger:
        return sum(row.state == "done" for row in ledger.tasks().values())


def do(way: str, folder: Path, flags: list[str], formats: list[str]) -> dict[str, Any]:
    """Do the city in one of the ways; what is to be known of it."""
    out, log = folder / way, folder / f"{way}.log"
    command = [sys.executable, "-m", "buildext", "mosaic", str(folder / "city"), "-o", str(out)]
    command += [word for name in formats for word in ("--format", name)]
    command += ["--progress", "none", "--threads", "1", *flags, *WAYS[way]]
    gains = [plain_gain()]
    moments = kill_thrice(command, out, log, seed=1) if way == "killed" else []
    with held_to_one_core() if way == "one core" else contextlib.nullcontext():
        seconds, watch = run(command, log)
    gains.append(plain_gain())
    state = standing(out)
    record: dict[str, Any] = {
        "seconds": round(seconds, 1),
        "digest": digest(out),
        "buildings": state.buildings,
        "megapixels": round(state.pixels / 1e6, 2),
        "blocks": sum(state.counts["probability"].values()),
        "damaged": [Path(row.name).name for row in state.damaged],
        "peak MB of a worker": round(watch.worker_bytes / 1e6),
        "peak MB of the coordinator": round(watch.coordinator_bytes / 1e6),
        "gain of counting": [round(gain, 3) for gain in gains],
    }
    if moments:
        record["killed after tasks"] = moments  # and the seconds are those of the last run
    if state.times is not None:
        record["wall s"] = {part: round(s.wall_s, 2) for part, s in state.times.spans.items()}
        record["core s"] = {part: round(s.cpu_s, 2) for part, s in state.times.spans.items()}
        overhead = state.times.overhead
        record["overhead"] = {"wall": round(overhead.wall_s, 4), "core": round(overhead.cpu_s, 4)}
    return record


def compare(report: dict[str, Any]) -> None:
    """Add what follows from the ways that were done so far."""
    done = {way: report[way] for way in WAYS if way in report}
    if len(done) > 1:
        report["equal"] = len({record["digest"] for record in done.values()}) == 1
        report["compared"] = list(done)
    for way, name in (("one", "gain of two"), ("one core", "gain of the second core")):
        if {way, "two"} <= done.keys():
            one, two = done[way], done["two"]
            report[name] = round(one["seconds"] / two["seconds"], 3)
            report[f"{name}, blocks"] = round(one["wall s"]["blocks"] / two["wall s"]["blocks"], 3)
    if {"one", "two"} <= done.keys():
        # On a busy machine the clock tells little: what is lost to each other shows here as well.
        report["core s of two over one, blocks"] = round(
            done["two"]["core s"]["blocks"] / done["one"]["core s"]["blocks"], 3
        )


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
    """Do one way or all; the report goes to `OUT/report.json` and to the terminal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=15)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--flags", default="", help="further options of `buildext mosaic`")
    parser.add_argument("--formats", default="parquet", help="of the layer, with commas between")
    parser.add_argument("--only", choices=WAYS, help="this way alone")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "report.json"
    report: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    given = {name: getattr(options, name) for name in ("rows", "side", "flags", "formats")}
    if report.setdefault("given", given) != given:
        parser.error(f"{options.out} was made with {report['given']}; give the same, or another")
    for way in [options.only] if options.only else WAYS:
        if "city" not in report:
            report["city"] = write_city(options.out / "city", options.rows, options.side)
        else:
            shutil.rmtree(options.out / way, ignore_errors=True)
        path.write_text(json.dumps(report, indent=1))
        report[way] = do(way, options.out, options.flags.split(), options.formats.split(","))
        compare(report)
        path.write_text(json.dumps(report, indent=1))
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
