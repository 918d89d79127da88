"""Heights sampled from a raster, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest

from buildext.evaluate.heights import sample_heights_m
from tests.evaluate.files import CRS, box, place, write_mask


@pytest.mark.parametrize("crs", [CRS, "EPSG:4326"])
def test_heights_under_footprints(tmp_path: Path, crs: str) -> None:
    # Row 0 is the top: y 19–20. A house of 4 × 5 px at 6 m with one mast of 40 m; a tower of
    # 10 px at 120 m over a podium of 10 px at 15 m; a shed without a valid pixel; one outside.
    values = np.zeros((20, 20), np.float32)
    values[10:15, 2:6] = 6
    values[12, 3] = 40
    values[2:7, 12:14], values[2:7, 14:16] = 120, 15
    values[17:19, 15:18] = -9999
    path = write_mask(tmp_path / "ndsm.tif", values, nodata=-9999)
    polygons = [
        box(2, 5, 6, 10),
        box(12, 13, 16, 18),
        box(15, 1, 18, 3),
        box(50, 50, 55, 55),
        box(2.6, 6.6, 2.9, 6.9),
    ]
    placed = np.array([place(polygon, crs) for polygon in polygons], dtype=object)
    found = sample_heights_m(path, placed, pyproj.CRS(crs))
    # 20 px: rank 18 of 20 is 6 m. 20 px, half of them 120: rank 18 is 120.
    np.testing.assert_allclose(found[:4], [6, 120, np.nan, np.nan])
    # It holds no pixel centre: the pixel under its middle says.
    assert found[4] == 6


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    path = write_mask(tmp_path / "ndsm.tif", rng.uniform(0, 50, (40, 40)).astype(np.float32))
    corners = rng.uniform(0, 34, (25, 2)).round()
    polygons = np.array([place(box(x, y, x + 5, y + 4)) for x, y in corners], dtype=object)
    # Overlapping footprints would take pixels from each other: keep every other building apart.
    apart = []
    for polygon in polygons:
        if not any(polygon.intersection(other).area for other in apart):
            apart.append(polygon)
    some = np.array(apart, dtype=object)
    whole = sample_heights_m(path, some, pyproj.CRS(CRS))
    monkeypatch.setattr("buildext.evaluate.heights._BLOCK_PX", 8)
    np.testing.assert_array_equal(sample_heights_m(path, some, pyproj.CRS(CRS)), whole)
