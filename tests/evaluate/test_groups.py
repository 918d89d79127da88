"""Scores by size, by angle, by scene and by sampled height; shapes and records: by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely

from buildext.errors import UsageError
from buildext.evaluate import Bounds, EvaluateOptions, evaluate_files
from tests.evaluate.files import CRS, SOUTH, WEST, blank, box, place, write_mask, write_vector


def test_sizes_charge_false_predictions_to_their_own(tmp_path: Path) -> None:
    # 16 m² found; 900 m² found as 870 m²; 36 m² missed; a false prediction of 225 m².
    ref = write_vector(
        tmp_path / "r.gpkg", [box(2, 2, 6, 6), box(20, 20, 50, 50), box(60, 2, 66, 8)]
    )
    pred = write_vector(
        tmp_path / "p.gpkg", [box(2, 2, 6, 6), box(20, 20, 50, 49), box(70, 70, 85, 85)]
    )
    found = evaluate_files(pred, ref, EvaluateOptions(extent=blank(tmp_path / "s.tif", 100)))
    tiny, house, block, hall = found.sizes
    assert [s.name for s in found.sizes] == ["< 50 m²", "50–200 m²", "200–1000 m²", "≥ 1000 m²"]
    assert (tiny.objects.true_positives, tiny.objects.false_negatives) == (1, 1)
    assert (block.objects.true_positives, block.objects.false_positives) == (1, 1)
    for empty in (house, hall):
        assert empty.objects.f1 is None
        assert empty.ladder.mean_f1 is None
    assert tiny.shapes.iou.mean == 1
    assert block.shapes.iou.mean == pytest.approx(29 / 30)
    # Two of four true corners lie 1 m off; the predicted ones lie on the true walls.
    assert block.shapes.polis_m.mean == pytest.approx((0 + 2 / 4) / 2)
    assert block.shapes.hausdorff_m.mean == pytest.approx(1)
    assert block.shapes.vertex_ratio.mean == 1
    assert block.shapes.shift_east_north_m == pytest.approx((0, -0.5), abs=1e-9)
    assert found.shapes.pairs == 2


def test_the_ladder_of_ious(tmp_path: Path) -> None:
    # IoUs 1, 0.7 and 0: F1 is 2/3 up to 0.70, then 1/3.
    ref = write_vector(
        tmp_path / "r.gpkg", [box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 50, 10)]
    )
    pred = write_vector(
        tmp_path / "p.gpkg", [box(0, 0, 10, 10), box(20, 0, 27, 10), box(40, 20, 50, 30)]
    )
    found = evaluate_files(pred, ref, EvaluateOptions(extent=blank(tmp_path / "s.tif", 60))).ladder
    assert found.min_iou == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    assert found.f1 == pytest.approx((2 / 3,) * 5 + (1 / 3,) * 5)
    assert found.mean_f1 == pytest.approx(0.5)


def test_angles_and_scenes_divide_the_ground(tmp_path: Path) -> None:
    # Two strips of 20 m: the western seen at 5° with its house found, the eastern at 25° with its
    # house missed and a false prediction of 4 m².
    zones = write_vector(
        tmp_path / "tiles.gpkg",
        [box(0, 0, 20, 40), box(20, 0, 40, 40)],
        fields={"off_nadir_deg": [5.0, 25.0], "scene": ["west", "east"]},
    )
    ref = write_vector(tmp_path / "r.gpkg", [box(2, 2, 6, 6), box(22, 2, 26, 6)])
    pred = write_vector(tmp_path / "p.gpkg", [box(2, 2, 6, 6), box(30, 30, 32, 32)])
    extent = blank(tmp_path / "s.tif", 40)
    found = evaluate_files(pred, ref, EvaluateOptions(extent=extent, off_nadir=zones, tile_px=10))
    assert [group.name for group in found.off_nadir] == ["< 10°", "20–30°"]
    assert [group.name for group in found.scenes] == ["east", "west"]
    for near, far in (found.off_nadir, found.scenes[::-1]):
        assert near.pixels is not None and far.pixels is not None
        assert (near.pixels.f1, near.objects.f1) == (1, 1)
        assert (far.pixels.false_negatives, far.pixels.false_positives) == (16, 4)
        assert (far.objects.false_negatives, far.objects.false_positives) == (1, 1)
    steep = EvaluateOptions(extent=extent, off_nadir=25.0, tile_px=10)
    [only] = evaluate_files(pred, ref, steep).off_nadir
    assert (only.name, only.objects) == ("20–30°", found.objects)
    with pytest.raises(UsageError, match="neither a field"):
        evaluate_files(pred, ref, EvaluateOptions(extent=extent, off_nadir=ref))


def test_heights_from_a_raster_equal_those_of_a_field(tmp_path: Path) -> None:
    polygons = [box(2, 2, 6, 6), box(20, 2, 26, 8), box(30, 30, 34, 34)]
    ref = write_vector(tmp_path / "r.gpkg", polygons, fields={"h": [5.0, 150.0, 20.0]})
    pred = write_vector(tmp_path / "p.gpkg", polygons[:2])
    ndsm = np.zeros((40, 40), np.float32)
    ndsm[34:38, 2:6], ndsm[32:38, 20:26], ndsm[6:10, 30:34] = 5, 150, 20
    raster = write_mask(tmp_path / "ndsm.tif", ndsm)
    extent = blank(tmp_path / "s.tif", 40)
    by_field = evaluate_files(pred, ref, EvaluateOptions(extent=extent, height_field="h"))
    by_raster = evaluate_files(pred, ref, EvaluateOptions(extent=extent, height_raster=raster))
    assert by_raster.classes == by_field.classes
    assert [c.objects.true for c in by_raster.classes] == [1, 1, 0, 1, 0]
    with pytest.raises(UsageError, match="both"):
        EvaluateOptions(height_field="h", height_raster=raster)


def test_confidence_steps_and_records(tmp_path: Path) -> None:
    # Two matches and a false prediction; the second match stands 2 m east of the truth and says
    # that its footprint lies 3 m west where it lies 3 m west and 4 m south of the roof.
    ref = write_vector(
        tmp_path / "r.gpkg",
        [box(2, 2, 12, 12), box(30, 2, 40, 12)],
        fields={"east_m": [0.0, -3.0], "north_m": [0.0, -4.0]},
    )
    pred = write_vector(
        tmp_path / "p.gpkg",
        [box(2, 30, 12, 40), box(32, 2, 42, 12), box(2, 2, 12, 12)],
        fields={
            "confidence": [0.55, 0.85, 0.95],
            "east_m": [0.0, -3.0, 0.0],
            "north_m": [0.0, 0.0, 0.0],
        },
    )
    found = evaluate_files(pred, ref, EvaluateOptions(extent=blank(tmp_path / "s.tif", 50)))
    assert found.confidence is not None
    assert found.confidence.ece == pytest.approx((0.55 + 0.15 + 0.05) / 3)
    assert (found.confidence.best.f1, found.confidence.best.recall) == (1, 1)
    assert found.shapes.step_error_m is not None
    assert found.shapes.step_error_m.mean == pytest.approx(2)
    assert found.shapes.shift_east_north_m == pytest.approx((1, 0), abs=1e-9)
    records = found.buildings
    pairs = records.pairs
    rows = {
        int(records.ref.row[r]): int(records.pred.row[p])
        for p, r in zip(pairs.pred, pairs.ref, strict=True)
    }
    assert rows == {0: 2, 1: 1}
    assert records.pred.row[records.pred.wrong].tolist() == [0]
    assert not records.ref.wrong.any()
    east = pairs.ref[np.argmax(pairs.shift_m[:, 0])]
    back = records.frame.from_plane(records.ref.polygons[[east]])[0]
    assert records.frame.crs == pyproj.CRS(CRS)
    assert shapely.equals(back.normalize(), place(box(30, 2, 40, 12)).normalize()) or (
        back.symmetric_difference(place(box(30, 2, 40, 12))).area < 1e-6
    )


def test_a_confidence_in_percent_is_pointed_out(tmp_path: Path) -> None:
    ref = write_vector(tmp_path / "r.gpkg", [box(2, 2, 12, 12)])
    pred = write_vector(tmp_path / "p.gpkg", [box(2, 2, 12, 12)], fields={"confidence": [93.0]})
    found = evaluate_files(pred, ref)
    assert found.confidence is None
    assert any("outside 0 to 1" in note for note in found.notes)


def test_splits_and_merges_are_counted(tmp_path: Path) -> None:
    ref = write_vector(
        tmp_path / "r.gpkg", [box(0, 0, 20, 8), box(30, 0, 36, 8), box(37, 0, 43, 8)]
    )
    pred = write_vector(
        tmp_path / "p.gpkg", [box(0, 0, 12, 8), box(12, 0, 20, 8), box(30, 0, 43, 8)]
    )
    found = evaluate_files(pred, ref).segmentation
    assert (found.split, found.pieces, found.merging, found.merged) == (1, 2, 1, 2)


def test_spacenets_rule_is_an_option(tmp_path: Path) -> None:
    # As in the matching's tests: greedy takes one match where two are possible.
    ref = write_vector(tmp_path / "r.gpkg", [box(0, 0, 10, 4), box(10, 0, 20, 4)])
    pred = write_vector(
        tmp_path / "p.gpkg",
        [box(0, 0, 12, 4), box(0, 0, 9, 4)],
        fields={"confidence": [0.9, 0.5]},
    )
    optimal = evaluate_files(pred, ref, EvaluateOptions(iou=0.1)).objects
    greedy = evaluate_files(pred, ref, EvaluateOptions(iou=0.1, matching="spacenet")).objects
    assert (optimal.true_positives, greedy.true_positives) == (2, 1)


def test_many_tiles_are_drawn_in_runs() -> None:
    from buildext.evaluate.bootstrap import MOST_UNITS, bootstrap, units_of

    tiles = 10 * MOST_UNITS + 3
    unit = units_of(tiles)
    assert unit[0] == 0 and unit[-1] < MOST_UNITS
    assert (np.diff(unit) >= 0).all()
    counts = np.random.default_rng(0).integers(0, 9, (tiles, 2))

    def share(sums: np.ndarray) -> np.ndarray:
        return sums[:, 0] / sums.sum(axis=1)

    # Tiles that err independently have the same interval, drawn alone or in runs:
    # ± 1.96 standard errors of a ratio, here from the residuals of the tiles.
    found = bootstrap(counts, share, resamples=400, seed=0)
    assert found is not None
    whole = counts.sum()
    mean = counts[:, 0].sum() / whole
    error = np.sqrt(((counts[:, 0] - mean * counts.sum(axis=1)) ** 2).sum()) / whole
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_nothing_matched_has_no_shape(tmp_path: Path) -> None:
    ref = write_vector(tmp_path / "r.gpkg", [box(2, 2, 6, 6)])
    pred = write_vector(tmp_path / "p.gpkg", [box(6.5, 6.5, 7.5, 7.5)])
    extent = Bounds(WEST, SOUTH, WEST + 8, SOUTH + 8)
    found = evaluate_files(pred, ref, EvaluateOptions(extent=extent))
    assert found.objects.f1 == 0
    assert found.shapes.pairs == 0
    assert found.shapes.iou.mean is None
    assert found.to_json()["shapes"]["shift_east_north_m"] is None
