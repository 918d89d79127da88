"""Height classes and bootstrap intervals, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from buildext.evaluate import EvaluateOptions, evaluate_files
from buildext.evaluate.bootstrap import bootstrap
from buildext.evaluate.classes import HeightClasses
from tests.evaluate.files import blank, box, write_mask, write_vector


def test_limits_belong_to_the_class_above() -> None:
    heights = np.array([0, 11.9, 12, 36, 99.9, 100, 300, np.nan])
    classes = HeightClasses()
    assert classes.assign(heights).tolist() == [0, 0, 1, 2, 2, 3, 3, 4]
    assert classes.names == ("low-rise", "mid-rise", "high-rise", "skyscraper", "unknown")
    assert HeightClasses((10.0, 20.5)).names == ("< 10 m", "10–20.5 m", "≥ 20.5 m", "unknown")
    assert classes.ranges_m == ((0, 12), (12, 36), (36, 100), (100, None), None)


def test_scores_by_class(tmp_path: Path) -> None:
    # low-rise: 16 px, found exactly. high-rise: 36 px, its western half found (18), and 4 px of
    # false positives one metre east of it. unknown: 16 px, missed.
    ref = write_vector(
        tmp_path / "r.gpkg",
        [box(2, 2, 6, 6), box(20, 2, 26, 8), box(2, 20, 6, 24)],
        fields={"h": ["5", "50.0", "tall"]},
    )
    pred = write_vector(
        tmp_path / "p.gpkg", [box(2, 2, 6, 6), box(20, 2, 23, 8), box(27, 2, 29, 4)]
    )
    found = evaluate_files(
        pred, ref, EvaluateOptions(extent=blank(tmp_path / "s.tif", 32), height_field="h")
    )
    low, mid, high, sky, unknown = found.classes
    assert (low.pixels.f1, low.objects.f1, low.objects.true) == (1, 1, 1)
    # TP 18, FP 4, FN 18: F1 = 36 / 58, precision 18 / 22, recall 1 / 2.
    assert high.pixels.f1 == pytest.approx(36 / 58)
    assert high.pixels.precision == pytest.approx(18 / 22)
    assert high.pixels.recall == 0.5
    # Objects: the half has IoU 18 / 36 = 0.5, a match; the other prediction is surplus: 2 / 3.
    assert high.objects.recall == 1
    assert high.objects.f1 == pytest.approx(2 / 3)
    assert (unknown.pixels.f1, unknown.objects.f1, unknown.objects.true) == (0, 0, 1)
    for empty in (mid, sky):
        assert empty.pixels.f1 is empty.objects.f1 is empty.tile_mean.f1 is None
    counts = ("true_positives", "false_positives", "false_negatives")
    for name in counts:
        for kind in ("pixels", "objects"):
            parts = sum(getattr(getattr(c, kind), name) for c in found.classes)
            assert parts == getattr(getattr(found, kind), name)


def test_false_positives_far_away_go_to_the_nearest_class(tmp_path: Path) -> None:
    # 16 px at x = 150, 144 m from the low house and 236 m from the tower: beyond the pixel search.
    ref = write_vector(
        tmp_path / "r.gpkg", [box(2, 2, 6, 6), box(390, 2, 396, 8)], fields={"h": [5.0, 150.0]}
    )
    pred = write_vector(tmp_path / "p.gpkg", [box(150, 2, 154, 6)])
    extent = write_mask(tmp_path / "s.tif", np.zeros((10, 400), np.uint8))
    found = evaluate_files(pred, ref, EvaluateOptions(extent=extent, height_field="h"))
    low, sky = found.classes[0], found.classes[3]
    assert (low.pixels.false_positives, sky.pixels.false_positives) == (16, 0)
    assert (low.objects.false_positives, sky.objects.false_positives) == (1, 0)


def test_a_surplus_prediction_goes_to_what_it_covers_most(tmp_path: Path) -> None:
    # 20 × 4 m over 4 m of the low house and 8 m of the tower; it matches neither.
    ref = write_vector(
        tmp_path / "r.gpkg", [box(0, 0, 8, 4), box(16, 0, 40, 4)], fields={"h": [5.0, 150.0]}
    )
    pred = write_vector(tmp_path / "p.gpkg", [box(4, 0, 24, 4)])
    found = evaluate_files(pred, ref, EvaluateOptions(height_field="h", resolution_m=1))
    assert found.classes[0].objects.false_positives == 0
    assert found.classes[3].objects.false_positives == 1


def test_class_tile_mean_uses_tiles_that_hold_the_class(tmp_path: Path) -> None:
    # Tiles of 10 px. The tower fills one tile to 36 px, found; the other 8 tiles do not count.
    ref = write_vector(
        tmp_path / "r.gpkg", [box(2, 2, 8, 8), box(22, 22, 26, 26)], fields={"h": [120.0, 4.0]}
    )
    pred = write_vector(tmp_path / "p.gpkg", [box(2, 2, 8, 5), box(12, 2, 14, 4)])
    found = evaluate_files(
        pred,
        ref,
        EvaluateOptions(extent=blank(tmp_path / "s.tif", 30), height_field="h", tile_px=10),
    )
    sky = found.classes[3]
    # TP 18, FN 18 in its tile: F1 = 36 / 54. The 4 false pixels in the next tile are in the pool.
    assert (sky.tile_mean.tiles, sky.tile_mean.f1) == (1, pytest.approx(2 / 3))
    assert sky.pixels.f1 == pytest.approx(36 / 58)


def test_bootstrap_is_fixed_by_its_seed_and_bounds_the_score() -> None:
    counts = np.random.default_rng(0).integers(0, 100, (40, 2))

    def share(sums: np.ndarray) -> np.ndarray:
        return sums[:, 0] / sums.sum(axis=1)

    first = bootstrap(counts, share, resamples=500, seed=1)
    assert first == bootstrap(counts, share, resamples=500, seed=1)
    assert first != bootstrap(counts, share, resamples=500, seed=2)
    assert first is not None
    assert first.low < counts[:, 0].sum() / counts.sum() < first.high


def test_bootstrap_has_the_width_of_the_binomial() -> None:
    # 400 tiles, each right or wrong with probability 1/2: the standard error of the share is
    # 0.5 / √400 = 0.025, so 95 % lie within ± 1.96 · 0.025 = 0.049 of it.
    right = np.repeat([0, 1], 200)
    found = bootstrap(
        np.column_stack([right, 1 - right]), lambda s: s[:, 0] / 400, resamples=4000, seed=0
    )
    assert found is not None
    assert found.low == pytest.approx(0.451, abs=0.005)
    assert found.high == pytest.approx(0.549, abs=0.005)


def test_one_tile_has_no_interval() -> None:
    assert bootstrap(np.ones((1, 3)), lambda s: s[:, 0], resamples=10, seed=0) is None
