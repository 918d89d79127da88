"""Masks and polygons of the same buildings, CRS, repair, and what the extent cuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from buildext.errors import BandError
from buildext.evaluate import EvaluateOptions, Frame, evaluate_files
from buildext.evaluate.layers import prepare_objects
from buildext.evaluate.vectors import read_vector
from tests.evaluate.files import CRS, blank, box, place, write_mask, write_vector

BOXES = [box(2, 3, 9, 8), box(12, 4, 17, 16), box(1, 12, 8, 19)]


def burned(boxes: list[shapely.Polygon], side: int = 20) -> np.ndarray:
    """Boxes with whole-metre corners as a mask of one metre a pixel, row 0 at the top."""
    mask = np.zeros((side, side), np.uint8)
    for b in boxes:
        west, south, east, north = (int(value) for value in b.bounds)
        mask[side - north : side - south, west:east] = 1
    return mask


def test_mask_and_polygons_of_the_same_buildings_agree(tmp_path: Path) -> None:
    guess = [shapely.affinity.translate(b, 1, 0) for b in BOXES]
    files = {
        "vector": write_vector(tmp_path / "p.gpkg", guess),
        "mask": write_mask(tmp_path / "p.tif", burned(guess)),
    }
    truths = {
        "vector": write_vector(tmp_path / "r.gpkg", BOXES),
        "mask": write_mask(tmp_path / "r.tif", burned(BOXES)),
    }
    options = EvaluateOptions(extent=blank(tmp_path / "s.tif", 20), tile_px=5)
    found = {(p, r): evaluate_files(files[p], truths[r], options) for p in files for r in truths}
    first = found["vector", "vector"]
    assert 0 < first.pixels.f1 < 1  # type: ignore[operator]
    for (p, r), other in found.items():
        assert other.pixels == first.pixels
        assert other.tile_mean == first.tile_mean
        assert other.boundary == first.boundary
        assert other.objects == first.objects
        assert other.objects_reliable == (p == r == "vector")


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:3035"])
def test_another_crs_changes_nothing_that_matters(tmp_path: Path, crs: str) -> None:
    boxes = [shapely.affinity.scale(b, 5, 5, origin=(0, 0)) for b in BOXES]
    guess = [shapely.affinity.translate(b, 2, 1) for b in boxes]
    ref = write_vector(tmp_path / "r.gpkg", boxes)
    same = write_vector(tmp_path / "p.gpkg", guess)
    other = write_vector(tmp_path / "q.gpkg", guess, crs=crs)
    options = EvaluateOptions(extent=blank(tmp_path / "s.tif", 100))
    expected, found = (evaluate_files(p, ref, options) for p in (same, other))
    assert found.pixels.f1 == pytest.approx(expected.pixels.f1, abs=0.002)
    assert found.objects == expected.objects
    # And with the other CRS as the grid's: metres stay metres in degrees and in Mercator.
    turned = evaluate_files(
        same, other, EvaluateOptions(aoi=write_vector(tmp_path / "a.gpkg", guess))
    )
    area_m2 = shapely.union_all(guess).area
    assert turned.extent.scored_m2 == pytest.approx(area_m2, rel=0.02)


def test_a_pixel_of_web_mercator_is_measured_on_the_ground() -> None:
    from affine import Affine

    # Mercator stretches by 1 / cos(latitude); the sphere's formula is right within 1 % here.
    polygon = place(box(0, 0, 1, 1), "EPSG:3857")
    x, y = polygon.exterior.coords[0]
    frame = Frame.of("EPSG:3857", Affine(0.5, 0, x, 0, -0.5, y), 10, 10)
    latitude = np.radians(45.15)
    assert frame.pixel_xy_m == pytest.approx((0.5 * np.cos(latitude),) * 2, rel=0.01)
    assert Frame.of(CRS, Affine(0.3, 0, 5e5, 0, -0.3, 5e6), 9, 9).pixel_xy_m == (0.3, 0.3)


def test_geoparquet_reads_as_the_same_layer(tmp_path: Path) -> None:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyproj

    placed = [place(b) for b in BOXES]
    geo = {
        "version": "1.1.0",
        "primary_column": "shape",
        "columns": {
            "shape": {
                "encoding": "WKB",
                "geometry_types": ["Polygon"],
                "crs": pyproj.CRS(CRS).to_json_dict(),
            }
        },
    }
    table = pa.table({"h": [3.0, None, 50.0], "shape": list(shapely.to_wkb(placed))})
    path = tmp_path / "r.parquet"
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    file = read_vector(path, height_field="h")
    assert file.crs == pyproj.CRS(CRS)
    assert shapely.equals(file.geometries, placed).all()
    np.testing.assert_array_equal(file.heights_m, [3, np.nan, 50])
    found = evaluate_files(write_vector(tmp_path / "p.gpkg", BOXES), path)
    assert found.pixels.f1 == found.objects.f1 == 1


def test_invalid_polygons_are_repaired_and_counted(tmp_path: Path) -> None:
    # A bow tie becomes its two triangles and stays one object; a spike without area is left out.
    bow_tie = shapely.Polygon([(2, 2), (6, 6), (6, 2), (2, 6)])
    flat = shapely.Polygon([(1, 1), (5, 1), (3, 1)])
    ref = write_vector(tmp_path / "r.gpkg", [bow_tie, flat, box(10, 10, 15, 15)])
    found = evaluate_files(ref, ref, EvaluateOptions(extent=blank(tmp_path / "s.tif", 20)))
    layer = found.reference_layer
    assert (layer.read, layer.repaired, layer.dropped) == (3, 2, 1)
    assert found.objects.true == 2
    assert found.objects.f1 == found.pixels.f1 == 1


def test_objects_cut_by_the_extent() -> None:
    region = shapely.box(0, 0, 10, 10)
    polygons = np.array(
        [shapely.box(-1, 1, 3, 3), shapely.box(8, 5, 14, 7), shapely.box(20, 0, 22, 2)],
        dtype=object,
    )
    objects = prepare_objects(polygons, region)
    # 3 of 4 m inside: whole; 2 of 6 m inside: cut; the third is elsewhere.
    assert [p.area for p in objects.polygons] == [6, 4]
    assert objects.mostly_outside.tolist() == [False, True]
    assert (objects.repair.outside, objects.repair.cut) == (1, 1)


def test_cut_objects_count_only_where_matched(tmp_path: Path) -> None:
    extent = blank(tmp_path / "s.tif", 10)
    whole, cut = box(1, 1, 5, 5), box(8, 1, 16, 5)
    ref = write_vector(tmp_path / "r.gpkg", [whole, cut])
    visible = write_vector(tmp_path / "p.gpkg", [whole, box(8, 1, 10, 5)])
    without = write_vector(tmp_path / "q.gpkg", [whole])
    seen = evaluate_files(visible, ref, EvaluateOptions(extent=extent)).objects
    missed = evaluate_files(without, ref, EvaluateOptions(extent=extent)).objects
    assert (seen.true_positives, seen.f1) == (2, 1)
    assert (missed.true_positives, missed.false_negatives, missed.f1) == (1, 0, 1)


def test_nodata_of_a_reference_mask_is_not_scored(tmp_path: Path) -> None:
    # The right half was never labelled; a prediction there is neither right nor wrong.
    truth = burned([box(2, 2, 6, 6)])
    truth[:, 10:] = 255
    ref = write_mask(tmp_path / "r.tif", truth, nodata=255)
    pred = write_vector(tmp_path / "p.gpkg", [box(2, 2, 6, 6), box(12, 2, 16, 6)])
    found = evaluate_files(pred, ref)
    assert found.extent.scored_px == 200
    assert found.pixels.f1 == found.objects.f1 == 1


def test_nodata_of_zero_says_nothing(tmp_path: Path) -> None:
    truth = burned([box(2, 2, 6, 6)])
    ref = write_mask(tmp_path / "r.tif", truth, nodata=0)
    found = evaluate_files(write_vector(tmp_path / "p.gpkg", [box(2, 2, 6, 10)]), ref)
    assert found.extent.scored_px == 400
    assert found.pixels.false_positives == 16
    assert any("nodata" in note for note in found.notes)


def test_mask_on_another_grid_is_resampled(tmp_path: Path) -> None:
    fine = np.kron(burned(BOXES), np.ones((4, 4), np.uint8))
    pred = write_mask(tmp_path / "p.tif", fine, pixel_m=0.25)
    ref = write_mask(tmp_path / "r.tif", burned(BOXES))
    assert evaluate_files(pred, ref).pixels.f1 == 1


def test_a_probability_raster_is_pointed_out(tmp_path: Path) -> None:
    values = burned(BOXES) * np.uint8(200)
    values[10, 10] = 3
    pred = write_mask(tmp_path / "p.tif", values)
    found = evaluate_files(pred, write_vector(tmp_path / "r.gpkg", BOXES))
    assert any("threshold" in note for note in found.notes)


def test_a_mask_has_one_band(tmp_path: Path) -> None:
    pred = write_mask(tmp_path / "p.tif", np.ones((3, 20, 20), np.uint8))
    with pytest.raises(BandError, match="3 bands"):
        evaluate_files(pred, write_vector(tmp_path / "r.gpkg", BOXES))
