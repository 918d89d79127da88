"""`buildext evaluate`: tables, JSON and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from buildext.cli.main import run
from tests.evaluate.files import blank, box, write_mask, write_vector


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    ref = write_vector(
        tmp_path / "ref.gpkg",
        [box(2, 2, 6, 6), box(20, 2, 26, 8)],
        fields={"height_m": [5.0, 50.0], "name": ["a", "b"]},
    )
    pred = write_vector(tmp_path / "pred.gpkg", [box(2, 2, 6, 6), box(20, 2, 25, 8)])
    return str(pred), str(ref), str(blank(tmp_path / "scene.tif", 32))


def test_table(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    pred, ref, scene = files
    assert run(["evaluate", pred, ref, "--extent", scene, "--height-field", "height_m"]) == 0
    out = capsys.readouterr().out
    for word in (
        "pixels, pooled",
        "boundary within 2 m",
        "objects at IoU ≥ 0.5",
        "high-rise 36–100 m",
    ):
        assert word in out
    # TP 16 + 30, FN 6: F1 = 92 / 98.
    assert "0.939" in out
    assert "2 predicted, 2 true (count error +0.0%)" in out


def test_no_figure_is_cut_on_a_narrow_terminal(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    pred, ref, scene = files
    assert run(["evaluate", pred, ref, "--extent", scene, "--height-field", "height_m"]) == 0
    assert "…" not in capsys.readouterr().out


def test_json_on_stdout_and_in_a_file(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, ref, scene = files
    assert run(["evaluate", pred, ref, "--extent", scene, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["schema_version"] == 2
    assert printed["pixels"]["f1"] == pytest.approx(92 / 98)
    assert printed["extent"]["width_px"] == 32
    assert set(printed["protocol"]) >= {"pixels", "objects", "classes"}
    path = tmp_path / "scores.json"
    again = ["evaluate", pred, ref, "--extent", scene, "--json", str(path)]
    assert run(again) == 0
    assert json.loads(path.read_text()) == printed
    assert run(again) == 2
    assert run([*again, "--overwrite"]) == 0


def test_progress_json_ends_with_the_result(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pred, ref, _ = files
    assert run(["evaluate", pred, ref, "--progress", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["event"] == "progress"
    assert events[-1]["event"] == "result"
    assert events[-1]["evaluation"]["objects"]["true"] == 2


def test_rectangles_as_extent_and_aoi(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pred, ref, _ = files
    west = "500000,5000000,500010,5000010"
    assert run(["evaluate", pred, ref, "--extent", west, "--aoi", west, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pixels"]["f1"] == 1
    assert found["objects"]["true"] == 1


def refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run(["evaluate", *args])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return code, captured.err


def test_an_unknown_field_lists_the_fields(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pred, ref, _ = files
    code, text = refused([pred, ref, "--height-field", "Height"], capsys)
    assert code == 2
    assert "height_m, name" in text
    assert "did you mean height_m?" in text


def test_mistakes_have_their_exit_codes(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, ref, scene = files
    text_file = tmp_path / "notes.gpkg"
    text_file.write_text("no layer")
    broken = tmp_path / "broken.tif"
    broken.write_text("no raster")
    naked = str(write_mask(tmp_path / "naked.tif", np.ones((9, 9), np.uint8), crs=None))
    nothing = str(write_vector(tmp_path / "nothing.gpkg", []))
    away = str(write_vector(tmp_path / "away.gpkg", [box(9000, 0, 9010, 10)]))
    points = str(write_vector(tmp_path / "points.gpkg", [shapely.Point(1, 1)]))
    cases = [
        ([pred, str(tmp_path / "none.gpkg")], 3, "no such file"),
        ([str(tmp_path / "none.tif"), ref], 3, "no such file"),
        ([pred, str(text_file)], 3, "cannot be read as a vector file"),
        ([str(broken), ref], 3, "cannot be read as a raster"),
        ([naked, ref], 3, "no CRS"),
        ([pred, nothing], 3, "holds no polygon"),
        ([pred, points], 3, "expected polygons"),
        ([away, ref], 3, "does not meet the scored extent"),
        ([pred, away, "--extent", scene], 3, "no building inside"),
        ([pred, scene], 3, "no building inside"),
        ([pred, ref, "--aoi", away], 3, "leave nothing"),
        ([pred, ref, "--extent", "3,3,1,9"], 3, "west < east"),
        ([pred, ref, "--layer", "houses"], 2, "no layer houses; it has pred"),
        ([pred, scene, "--height-field", "h"], 2, "is a mask"),
        ([pred, scene, "--ref-layer", "h"], 2, "is a mask"),
        ([pred, ref, "--classes", "36,12"], 2, "ascending"),
        ([pred, ref, "--classes", "low"], 2, "expected numbers"),
        ([pred, ref, "--iou", "0"], 2, "IoU"),
        ([pred, ref, "--json", str(tmp_path / "no" / "folder.json")], 5, "does not exist"),
        ([pred], 2, "Missing argument"),
    ]
    for args, code, words in cases:
        got, text = refused(args, capsys)
        assert (got, words in text) == (code, True), (args, got, text)


def test_everything_at_once(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, ref, scene = files
    zones = write_vector(tmp_path / "z.gpkg", [box(0, 0, 32, 32)], fields={"off_nadir_deg": [25.0]})
    probability = np.zeros((32, 32), np.uint8)
    probability[26:30, 2:6] = 255
    raster = write_mask(tmp_path / "prob.tif", probability)
    asked = ["--extent", scene, "--height-field", "height_m", "--off-nadir", str(zones)]
    asked += ["--probability", str(raster), "--matching", "spacenet"]
    assert run(["evaluate", pred, ref, *asked]) == 0
    out = capsys.readouterr().out
    for word in (
        "by size",
        "by off-nadir angle",
        "PoLiS",
        "calibration of 1024 pixels",
        "split: 0",
    ):
        assert word in out
    assert run(["evaluate", pred, ref, *asked, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["probability"]["best"]["precision"] == 1
    assert printed["settings"]["matching"] == "spacenet"
    assert "buildings" not in printed
    assert run(["evaluate", pred, ref, "--off-nadir", "95"]) == 2


def test_page_and_error_layers(files: tuple[str, str, str], tmp_path: Path) -> None:
    import pyogrio

    pred, ref, scene = files
    page, errors = tmp_path / "page.html", tmp_path / "errors.gpkg"
    asked = ["evaluate", pred, ref, "--extent", scene, "--report", str(page), "-q"]
    asked += ["--errors", str(errors)]
    assert run(asked) == 0
    assert page.read_text().startswith("<!doctype html>")
    assert "true_positives" in pyogrio.list_layers(errors)[:, 0]
    assert run(asked) == 2
    assert run([*asked, "--overwrite"]) == 0
