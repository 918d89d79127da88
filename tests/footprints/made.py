"""Made buildings, their features, and a disk small enough to fill."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from affine import Affine
from shapely import Polygon

from buildext.footprints.features import to_batch
from buildext.footprints.frame import GridFrame
from buildext.footprints.raw import RawBuilding
from buildext.footprints.shape import RegStatus, ShapedBuilding

UTM = "EPSG:32633"
GSD_M = 0.3
UTM_FRAME = GridFrame(Affine(GSD_M, 0, 500_000, 0, -GSD_M, 4_000_000), UTM, GSD_M)


def building(
    polygon: Polygon,
    confidence: float = 0.9,
    status: RegStatus = "regularised",
    touches_edge: bool = False,
) -> ShapedBuilding:
    """A shaped building on the grid plane."""
    return ShapedBuilding(
        polygon, RawBuilding(polygon, confidence, int(polygon.area), touches_edge), status
    )


def courtyard() -> Polygon:
    """40 × 30 px with a hole of 10 × 10 px."""
    return shapely.box(100, 100, 140, 130).difference(shapely.box(110, 110, 120, 120))


def three_features(frame: GridFrame = UTM_FRAME, first_id: int = 1) -> pa.RecordBatch:
    """A courtyard, a triangle and a house at the edge."""
    return to_batch(
        [
            building(courtyard(), 0.91239),
            building(Polygon([(200, 100), (230, 100), (200, 140)]), 0.55, "simplified"),
            building(shapely.box(0, 50, 20, 75), 0.72, "kept", touches_edge=True),
        ],
        frame,
        first_id,
    )


def many_features(count: int, first_id: int = 1) -> pa.RecordBatch:
    """Houses of 30 × 40 px in rows of a hundred."""
    number = np.arange(first_id, first_id + count)
    x, y = number % 100 * 60.0, number // 100 * 60.0
    houses = shapely.box(x, y, x + 30, y + 40)
    return to_batch([building(house) for house in houses], UTM_FRAME, first_id)


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of a few kilobytes at `folder`; skips where mounting is not allowed."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("filling a disk needs root on Linux, to mount a small file system")
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"filling a disk needs a mount, which is not allowed here: {done.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def rows_of(table: Any) -> list[dict[str, Any]]:
    """Rows of an Arrow table without their geometry."""
    plain = [
        name
        for name in table.column_names
        if name not in ("geometry", "geom", "wkb_geometry", "bbox")
    ]
    rows: list[dict[str, Any]] = table.select(plain).to_pylist()
    return rows
