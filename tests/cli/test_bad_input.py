"""Input that cannot be used: one clear line, the right exit code, and nothing left behind."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from buildext.models.store import BUNDLED
from tests import real
from tests.cli.conftest import Call, Outcome


def assert_refused(outcome: Outcome, code: int, out: Path, *words: str) -> None:
    """One line that holds `words`, no traceback, exit code `code`, and `out` still empty."""
    assert outcome.code == code, outcome.stderr
    assert "Traceback" not in outcome.stderr
    (line,) = outcome.error_lines()
    for word in words:
        assert word in line
    assert outcome.stdout == ""
    assert list(out.iterdir()) == []


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """A copy of the bundled model, to be damaged."""
    return shutil.copytree(BUNDLED / "default", tmp_path / "model")


def test_missing_file(call: Call, out: Path, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.tif"
    assert_refused(call("extract", missing, "-o", out / "a.gpkg"), 3, out, "nowhere.tif")


@pytest.mark.parametrize("content", [b"not a raster, but a letter\n" * 40, b"", b"II*\x00"])
def test_not_a_raster(call: Call, out: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.tif"
    path.write_bytes(content)
    assert_refused(call("extract", path, "-o", out / "a.gpkg"), 3, out, "letter.tif")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_truncated_tiff(call: Call, out: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "half.tif"
    whole = real.SCENE.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    outcome = call("extract", path, "-o", out / "a.gpkg", "--probability", out / "p.tif")
    assert_refused(outcome, 3, out, "half.tif")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_no_crs_is_refused_unless_pixels_are_asked_for(
    call: Call, out: Path, tmp_path: Path
) -> None:
    path = real.write_raster(tmp_path / "plain.tif", real.pixels(320), crs=None)
    outcome = call("extract", path, "-o", out / "a.gpkg")
    assert_refused(outcome, 3, out, "plain.tif")
    assert "--pixel-units" in outcome.stderr

    assert call("extract", path, "-o", out / "a.gpkg", "--pixel-units").code == 0
    with sqlite3.connect(out / "a.gpkg") as layer:
        ((xmin, ymin, xmax, ymax),) = layer.execute(
            "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE data_type = 'features'"
        )
    layer.close()
    # Squaring up may move a wall by the tolerance, over the edge of the image too.
    assert -3 <= xmin < xmax <= 323 and -3 <= ymin < ymax <= 323


def test_no_valid_pixel(call: Call, out: Path, tmp_path: Path) -> None:
    path = real.write_raster(tmp_path / "void.tif", np.zeros((3, 200, 200), np.uint8), nodata=0)
    assert_refused(call("extract", path, "-o", out / "a.gpkg"), 3, out, "no valid pixel")


def test_two_bands(call: Call, out: Path, tmp_path: Path) -> None:
    path = real.write_raster(tmp_path / "two.tif", real.pixels(200)[:2])
    outcome = call("extract", path, "-o", out / "a.gpkg")
    assert_refused(outcome, 3, out, "two.tif", "2 colour bands")
    assert "--bands" in outcome.stderr


def test_a_band_that_is_not_there(call: Call, out: Path, small_scene: Path) -> None:
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--bands", "4,2,1")
    assert_refused(outcome, 3, out, "4")


def test_unknown_model_names_the_nearest(call: Call, out: Path, small_scene: Path) -> None:
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--model", "defualt")
    assert_refused(outcome, 4, out, "'defualt'")
    assert "did you mean 'default'?" in outcome.stderr


@pytest.mark.parametrize("place", [0.001, 0.5, 0.999])
def test_one_flipped_bit_in_the_weights(
    call: Call, out: Path, small_scene: Path, model_copy: Path, place: float
) -> None:
    weights = model_copy / "model.onnx"
    content = bytearray(weights.read_bytes())
    content[int(len(content) * place)] ^= 1
    weights.write_bytes(content)
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--model", model_copy)
    assert_refused(outcome, 4, out, "model.onnx", "sha256")


def test_missing_weights(call: Call, out: Path, small_scene: Path, model_copy: Path) -> None:
    (model_copy / "model.onnx").unlink()
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--model", model_copy)
    assert_refused(outcome, 4, out, "model.onnx", "missing")


def test_damaged_card(call: Call, out: Path, small_scene: Path, model_copy: Path) -> None:
    card = model_copy / "card.json"
    card.write_text(card.read_text()[:-40])
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--model", model_copy)
    assert_refused(outcome, 4, out, "card.json", "damaged")


def test_contradicting_card(call: Call, out: Path, small_scene: Path, model_copy: Path) -> None:
    card = json.loads((model_copy / "card.json").read_text())
    card["channels"] = ["contact", "building"]
    (model_copy / "card.json").write_text(json.dumps(card))
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--model", model_copy)
    assert_refused(outcome, 4, out, "channels")


def test_folder_without_a_card(call: Call, out: Path, small_scene: Path, tmp_path: Path) -> None:
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--model", tmp_path)
    assert_refused(outcome, 4, out, "card.json")


@pytest.mark.parametrize("extra", ["--probability", "--review"])
def test_any_output_that_exists_is_left_alone(
    call: Call, out: Path, small_scene: Path, tmp_path: Path, extra: str
) -> None:
    existing = tmp_path / ("old.tif" if extra == "--probability" else "old.gpkg")
    existing.write_bytes(b"precious")
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", extra, existing)
    assert_refused(outcome, 2, out, existing.name, "exists")
    assert existing.read_bytes() == b"precious"
    outcome = call("extract", small_scene, "-o", existing)
    assert existing.suffix == ".tif" or "exists" in outcome.stderr
    assert outcome.code == 2
    assert existing.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["a.shp", "a.kml", "a"])
def test_unknown_suffix(call: Call, out: Path, small_scene: Path, name: str) -> None:
    outcome = call("extract", small_scene, "-o", out / name)
    assert_refused(outcome, 2, out, name, ".gpkg", ".parquet", ".fgb", ".geojson", ".pmtiles")


def test_folder_of_the_output_does_not_exist(call: Call, out: Path, small_scene: Path) -> None:
    outcome = call("extract", small_scene, "-o", out / "nowhere" / "a.gpkg")
    assert_refused(outcome, 5, out, "does not exist")


@pytest.mark.parametrize(
    "options",
    [
        ["--simplify", "--regularize", "any-angle"],
        ["--height-field", "height"],
        ["--tile", "100"],
        ["--tile", "256", "--overlap", "200"],
        ["--threshold", "1.5"],
        ["--scale", "9"],
        ["--scale", "9,3"],
        ["--engine", "tensorrt"],
        ["--engine", "onnxruntime", "--precision", "bf16"],
        ["--device", "cuda:0", "--engine", "onnxruntime"],
        ["--aoi", "5,5,1,1"],
        ["--no-such-option"],
    ],
    ids=" ".join,
)
def test_contradicting_or_impossible_options(
    call: Call, out: Path, small_scene: Path, options: list[str]
) -> None:
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", *options)
    assert_refused(outcome, 2, out)


def test_missing_reference_is_found_before_the_work(
    call: Call, out: Path, small_scene: Path, tmp_path: Path
) -> None:
    outcome = call(
        "extract", small_scene, "-o", out / "a.gpkg", "--reference", tmp_path / "truth.gpkg"
    )
    assert_refused(outcome, 3, out, "truth.gpkg")


def test_area_outside_the_scene(call: Call, out: Path, small_scene: Path) -> None:
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--aoi", "0,0,10,10")
    assert_refused(outcome, 3, out, "outside the scene")
    assert "the scene spans" in outcome.stderr


@pytest.mark.parametrize("content", [b"no layer", None])
def test_area_that_is_no_layer(
    call: Call, out: Path, small_scene: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "area.gpkg"
    if content is not None:
        path.write_bytes(content)
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--aoi", path)
    assert_refused(outcome, 3, out, "area.gpkg")


def test_area_without_polygons(call: Call, out: Path, small_scene: Path, tmp_path: Path) -> None:
    path = tmp_path / "points.geojson"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, '
        '"geometry": {"type": "Point", "coordinates": [32.6, 0.35]}}]}'
    )
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "--aoi", path)
    assert_refused(outcome, 3, out, "no polygon")


def test_scene_of_the_network_needs_a_word(call: Call, out: Path) -> None:
    outcome = call("extract", "https://example.org/scene.tif", "-o", out / "a.gpkg")
    assert_refused(outcome, 3, out, "remote")
    assert "--allow-remote" in outcome.stderr


def test_a_mistyped_command_is_answered_with_the_nearest(call: Call) -> None:
    outcome = call("extrct")
    assert outcome.code == 2
    assert "Did you mean 'extract'?" in outcome.stderr


def test_debug_shows_the_traceback(call: Call, out: Path, tmp_path: Path) -> None:
    from buildext.errors import MissingInputError

    with pytest.raises(MissingInputError):
        call("extract", tmp_path / "nowhere.tif", "-o", out / "a.gpkg", "--debug")
    assert list(out.iterdir()) == []
