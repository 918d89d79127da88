"""Pixel scores and tile means, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from buildext.evaluate import Bounds, EvaluateOptions, evaluate_files
from tests.evaluate.files import WEST, blank, box, write_mask, write_vector


def test_two_boxes_that_share_half(tmp_path: Path) -> None:
    # True: 4 × 4 px. Predicted: 4 × 4 px, two columns further east. They share 2 × 4 px.
    # TP = 8, FP = 8, FN = 8: precision = recall = 8 / 16, F1 = 16 / 32, IoU = 8 / 24.
    ref = write_vector(tmp_path / "ref.gpkg", [box(2, 2, 6, 6)])
    pred = write_vector(tmp_path / "pred.gpkg", [box(4, 2, 8, 6)])
    found = evaluate_files(pred, ref, EvaluateOptions(extent=blank(tmp_path / "s.tif", 10)))
    pixels = found.pixels
    assert (pixels.true_positives, pixels.false_positives, pixels.false_negatives) == (8, 8, 8)
    assert pixels.precision == pixels.recall == pixels.f1 == 0.5
    assert pixels.iou == pytest.approx(1 / 3)
    assert found.extent.scored_px == 100
    assert found.extent.scored_m2 == pytest.approx(100)


def test_a_pixel_counts_by_its_centre(tmp_path: Path) -> None:
    # The box reaches 0.4 px into the neighbours: their centres stay outside. One px is building.
    ref = write_vector(tmp_path / "ref.gpkg", [box(4.6, 4.6, 6.4, 6.4)])
    found = evaluate_files(ref, ref, EvaluateOptions(extent=blank(tmp_path / "s.tif", 10)))
    assert found.pixels.true_positives == 1


def test_overlapping_predictions_count_once(tmp_path: Path) -> None:
    # Two predictions over one true box of 16 px: the union is right in every pixel.
    ref = write_vector(tmp_path / "ref.gpkg", [box(2, 2, 6, 6)])
    pred = write_vector(tmp_path / "pred.gpkg", [box(2, 2, 6, 6), box(2, 2, 6, 6)])
    found = evaluate_files(pred, ref, EvaluateOptions(extent=blank(tmp_path / "s.tif", 10)))
    assert found.pixels.f1 == 1
    # As objects, one of the two is too many: precision 1 / 2, recall 1, F1 = 2 / 3.
    assert found.objects.precision == 0.5
    assert found.objects.f1 == pytest.approx(2 / 3)
    assert found.objects.count_error == 1


def test_tile_mean(tmp_path: Path) -> None:
    # 8 × 8 px in four tiles of 4 px. North-west: true 16 px, predicted 8 of them, F1 = 16/24 = 2/3.
    # North-east: empty in both, 1. South-west: predicted alone, 0. South-east: equal, 1.
    truth = np.zeros((8, 8), np.uint8)
    guess = np.zeros((8, 8), np.uint8)
    truth[:4, :4] = 1
    guess[:2, :4] = 1
    guess[6, 1] = 1
    truth[5:7, 5:7] = guess[5:7, 5:7] = 1
    ref, pred = write_mask(tmp_path / "r.tif", truth), write_mask(tmp_path / "p.tif", guess)
    found = evaluate_files(pred, ref, EvaluateOptions(tile_px=4))
    assert found.tile_mean.tiles == 4
    assert found.tile_mean.f1 == pytest.approx((2 / 3 + 1 + 0 + 1) / 4)
    # Pooled: TP = 8 + 4, FP = 1, FN = 8: F1 = 24 / 33.
    assert found.pixels.f1 == pytest.approx(24 / 33)


def test_slivers_of_tiles_stay_out_of_the_mean_but_in_the_pool(tmp_path: Path) -> None:
    # 9 px in tiles of 4: the ninth row and column make tiles of 4 or 1 px, less than half of 16.
    truth = np.zeros((9, 9), np.uint8)
    truth[0, 0] = truth[8, 8] = 1
    guess = truth.copy()
    guess[8, 8] = 0
    ref, pred = write_mask(tmp_path / "r.tif", truth), write_mask(tmp_path / "p.tif", guess)
    found = evaluate_files(pred, ref, EvaluateOptions(tile_px=4))
    assert (found.tile_mean.tiles, found.tile_mean.f1) == (4, 1)
    assert found.pixels.false_negatives == 1


def test_windows_and_tiles_do_not_change_the_pool(tmp_path: Path) -> None:
    # Larger than one window of 2048 px, buildings across its border.
    boxes = [
        box(i * 60 + 1.3, j * 60 + 0.7, i * 60 + 41, j * 60 + 39) for i in range(36) for j in (0, 1)
    ]
    ref = write_vector(tmp_path / "ref.gpkg", boxes)
    pred = write_vector(tmp_path / "pred.gpkg", [shapely.affinity.translate(b, 3) for b in boxes])
    extent = write_mask(tmp_path / "s.tif", np.zeros((120, 2200), np.uint8))
    small, large = (
        evaluate_files(pred, ref, EvaluateOptions(extent=extent, tile_px=tile))
        for tile in (100, 4096)
    )
    assert small.pixels.true_positives == large.pixels.true_positives
    assert small.pixels.iou == large.pixels.iou
    assert small.boundary.f1 == large.boundary.f1
    assert small.objects.f1 == large.objects.f1


def test_empty_prediction_scores_zero(tmp_path: Path) -> None:
    ref = write_vector(tmp_path / "ref.gpkg", [box(2, 2, 6, 6)], fields={"h": [5.0]})
    pred = write_vector(tmp_path / "pred.gpkg", [])
    found = evaluate_files(
        pred,
        ref,
        EvaluateOptions(extent=blank(tmp_path / "s.tif", 10), height_field="h"),
    )
    assert found.pixels.f1 == found.objects.f1 == found.boundary.f1 == found.tile_mean.f1 == 0
    assert found.pixels.precision is None
    assert found.objects.count_error == -1
    assert found.classes[0].pixels.f1 == found.classes[0].objects.f1 == 0


def test_aoi_limits_all_scores(tmp_path: Path) -> None:
    # Outside the AOI (x < 10) lies a missed and an invented building: neither counts.
    ref = write_vector(tmp_path / "ref.gpkg", [box(2, 2, 6, 6), box(12, 2, 16, 6)])
    pred = write_vector(tmp_path / "pred.gpkg", [box(2, 2, 6, 6), box(12, 12, 16, 16)])
    extent = blank(tmp_path / "s.tif", 20)
    aoi = write_vector(tmp_path / "aoi.gpkg", [box(0, 0, 10, 20)])
    whole = evaluate_files(pred, ref, EvaluateOptions(extent=extent))
    inside = evaluate_files(pred, ref, EvaluateOptions(extent=extent, aoi=aoi))
    as_box = evaluate_files(
        pred,
        ref,
        EvaluateOptions(extent=extent, aoi=Bounds(WEST, 5_000_000, WEST + 10, 5_000_020)),
    )
    assert (whole.pixels.f1, whole.objects.f1) == (0.5, 0.5)
    assert (inside.pixels.f1, inside.objects.f1, inside.boundary.f1) == (1, 1, 1)
    assert inside.extent.scored_px == 200
    assert inside.prediction_layer.outside == 1
    assert as_box.pixels == inside.pixels


def test_default_extent_is_the_bounding_box_of_the_reference(tmp_path: Path) -> None:
    # The second prediction lies where nobody labelled; it is not counted.
    ref = write_vector(tmp_path / "ref.gpkg", [box(0, 0, 6, 6), box(20, 20, 30, 30)])
    pred = write_vector(
        tmp_path / "pred.gpkg", [*[box(0, 0, 6, 6), box(20, 20, 30, 30)], box(40, 0, 50, 9)]
    )
    found = evaluate_files(pred, ref, EvaluateOptions(resolution_m=0.5))
    assert (found.extent.width_px, found.extent.height_px) == (60, 60)
    assert found.pixels.f1 == found.objects.f1 == 1
    assert "bounding box" in found.extent.source
    assert any("bounding box" in note for note in found.notes)
