"""Reliability, ECE and thresholds, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from buildext.errors import InputError
from buildext.evaluate.calibration import Calibration, calibrate, count_cases
from buildext.evaluate.frame import Frame
from buildext.evaluate.layers import PolygonLayer
from buildext.evaluate.probability import count_pixels
from buildext.evaluate.tally import Tiles
from tests.evaluate.files import write_mask


def calibrated(confidence: list[float], right: list[bool], missed: int = 0) -> Calibration:
    told = np.array(confidence)
    unit = np.arange(len(told), dtype=np.intp)
    histogram, per_unit = count_cases(told, np.array(right), unit, len(told))
    found = calibrate(histogram, per_unit, cases="polygons", missed=missed, resamples=50, seed=0)
    assert found is not None
    return found


def test_ece_and_best_threshold_by_hand() -> None:
    # 0.95: two right. 0.8: one right, one wrong. 0.6: two wrong. One building is missed.
    found = calibrated(
        [0.95, 0.95, 0.8, 0.8, 0.6, 0.6], [True, True, True, False, False, False], missed=1
    )
    # (2·|1 − 0.95| + 2·|0.5 − 0.8| + 2·|0 − 0.6|) / 6
    assert found.ece == pytest.approx((0.1 + 0.6 + 1.2) / 6)
    assert [b.count for b in found.reliability] == [0, 0, 0, 0, 0, 0, 2, 0, 2, 2]
    assert found.reliability[8].right == 0.5
    assert found.reliability[8].confidence == pytest.approx(0.8)
    assert found.reliability[0].right is None
    # F1: all 6: 2·3/(6 + 4); from 0.8: 2·3/(4 + 4); from 0.95: 2·2/(2 + 4).
    assert [point.f1 for point in found.curve] == pytest.approx([0.6, 0.75, 4 / 6])
    assert found.best.threshold == pytest.approx(0.8)
    assert (found.best.precision, found.best.recall) == (0.75, 0.75)
    assert found.ece_interval is not None


def test_a_calibrated_prediction_has_no_error() -> None:
    rng = np.random.default_rng(0)
    told = rng.uniform(0, 1, 20_000)
    found = calibrated(told.tolist(), (rng.uniform(0, 1, 20_000) < told).tolist())
    assert found.ece < 0.02


def test_nothing_to_calibrate() -> None:
    histogram, per_unit = count_cases(np.empty(0), np.empty(0, bool), np.empty(0, np.intp), 1)
    assert calibrate(histogram, per_unit, cases="polygons", missed=3, resamples=5, seed=0) is None


def test_a_probability_raster(tmp_path: Path) -> None:
    import shapely

    # 10 × 10 px of 1 m: the building fills columns 0–3, of which 0–2 are given 204 (0.8) and
    # 3 is given 51 (0.2); 10 px of ground in column 4 are 204 too, the rest 0.
    values = np.zeros((10, 10), np.uint8)
    values[:, :3] = values[:, 4] = 204
    values[:, 3] = 51
    path = write_mask(tmp_path / "p.tif", values)
    import rasterio

    with rasterio.open(path) as raster:
        frame = Frame.of(raster.crs.to_wkt(), raster.transform, 10, 10)
    truth = PolygonLayer(frame, np.array([shapely.box(0, 0, 4, 10)], dtype=object))
    histogram, per_tile, missed = count_pixels(path, truth, Tiles(frame, 5), None)
    assert (histogram[204].tolist(), histogram[51].tolist()) == ([10, 30], [0, 10])
    assert (histogram[0].tolist(), missed) == ([50, 0], 0)
    found = calibrate(histogram, per_tile, cases="pixels", missed=missed, resamples=20, seed=0)
    assert found is not None
    # 40 px at 0.8 with 30 right, 10 at 0.2 all right, 50 at 0 all wrong.
    assert found.ece == pytest.approx((abs(30 - 32) + abs(10 - 2)) / 100)
    # At 0.2: 40 of 50 px, all 40 true: F1 = 80/90.
    assert found.best.f1 == pytest.approx(80 / 90)
    assert found.best.threshold == pytest.approx(0.2)


def test_percent_is_no_probability(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "p.tif", np.full((5, 5), 50.0, np.float32))
    import rasterio

    with rasterio.open(path) as raster:
        frame = Frame.of(raster.crs.to_wkt(), raster.transform, 5, 5)
    with pytest.raises(InputError, match="expected 0 to 1"):
        count_pixels(path, PolygonLayer(frame, np.empty(0, object)), Tiles(frame, 5), None)
