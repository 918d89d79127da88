"""`buildext quantize` and `buildext export` from end to end on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from buildext.cli.main import run
from buildext.engines.openvino import OpenVinoEngine
from buildext.learn.compress.measure import score_scene
from buildext.learn.compress.tiles import calibration_tiles
from buildext.learn.training.data.scenes import LabelledScene
from buildext.models.card import Card, Gsd
from buildext.models.store import Model, load_model
from tests.learn.conftest import town


@pytest.fixture
def pictures_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        coarse = rng.integers(0, 256, (20, 25, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, (200, 160)))
    return folder


def test_a_run_becomes_an_int8_model(
    tiny_model: Model,
    pictures_folder: Path,
    dataset_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "int8"
    arguments = ["quantize", str(tiny_model.folder.parent), "--calibrate", str(pictures_folder)]
    arguments += ["--method", "min-max", "--tiles", "4", "--tile-px", "64", "-o", str(out)]
    measured = [*arguments, "--measure", str(dataset_folder), "--progress", "json"]
    assert run(measured) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    made = load_model(out)
    record = made.card.training["quantisation"]
    assert events[-1]["quantisation"] == record
    assert (record["precision"], record["method"]) == ("w8a8", "min-max")
    assert record["of"]["sha256"] == tiny_model.card.files["model.onnx"]
    assert record["calibration"]["sources"] == ["pictures"]
    assert record["openvino"]["int8_share_of_macs"] >= 0.9
    assert record["difference_from_simulation"]["openvino_mean"] < 0.01
    (score,) = made.card.scores
    assert score.dataset == "town/scene"
    assert 0 <= score.values["building_f1"] <= 1
    assert abs(score.values["building_f1 lost"]) < 0.2
    # The file itself: int8 weights, a good part smaller, and it runs as a model does.
    kinds = {t.data_type for t in onnx.load(str(made.weights)).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    assert made.weights.stat().st_size < 0.8 * tiny_model.weights.stat().st_size
    image = np.zeros((1, 3, 128, 128), np.uint8)
    assert OpenVinoEngine(made.weights, 128).infer(image).shape == (1, 2, 128, 128)
    assert run(arguments) == 2
    again = [*arguments[:-1], str(tmp_path / "twice")]
    again[1] = str(out)
    assert run(again) == 4


def test_six_bits_are_said_to_be_simulated(
    tiny_model: Model, pictures_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["quantize", str(tiny_model.folder), "--calibrate", str(pictures_folder)]
    arguments += ["--method", "percentile", "--bits", "6", "--tiles", "2", "--tile-px", "64"]
    assert run([*arguments, "-o", str(tmp_path / "six")]) == 0
    assert "w6a6 (simulated) by percentile" in capsys.readouterr().out
    card = load_model(tmp_path / "six").card
    assert card.name == "tiny-percentile-w6a6"
    assert "simulated" in card.description


def test_wrong_wishes_end_with_their_codes(
    tiny_model: Model, pictures_folder: Path, tmp_path: Path
) -> None:
    base = ["quantize", str(tiny_model.folder), "-o", str(tmp_path / "out")]
    assert run([*base, "--calibrate", str(tmp_path / "nowhere")]) == 3
    assert run([*base, "--calibrate", str(pictures_folder), "--tile-px", "100"]) == 2
    wish = ["--calibrate", str(pictures_folder), "--method", "nncf", "--bits", "6"]
    assert run([*base, *wish, "--tile-px", "64", "--tiles", "2"]) == 2


def test_export_writes_one_file_that_runs(tiny_model: Model, tmp_path: Path) -> None:
    name = str(tiny_model.folder)
    assert run(["export", name, "--to", "onnx", "-o", str(tmp_path / "a.onnx")]) == 0
    assert (tmp_path / "a.onnx").read_bytes() == tiny_model.weights.read_bytes()
    pair = str(tmp_path / "a.xml")
    assert run(["export", name, "--to", "openvino", "-o", pair, "--tile", "64"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "a.onnx", "a.xml"]
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    got = OpenVinoEngine(tmp_path / "a.xml", 64, precision="f32").infer(image)
    wanted = OpenVinoEngine(tiny_model.weights, 64, precision="f32").infer(image)
    np.testing.assert_allclose(got, wanted, atol=1e-3)
    assert run(["export", name, "--to", "openvino", "-o", pair]) == 2
    assert run(["export", name, "--to", "onnx", "-o", str(tmp_path / "b.xml")]) == 2


def test_tiles_are_cut_at_the_resolution_of_extraction(
    dataset_folder: Path, tiny_model: Model
) -> None:
    card = tiny_model.card

    def cut(source: Path, card: Card = card, seed: int = 0) -> np.ndarray:
        return calibration_tiles([source], number=3, tile_px=64, card=card, seed=seed)

    found = cut(dataset_folder)
    assert (found.shape, found.dtype) == ((3, 3, 64, 64), np.uint8)
    assert np.array_equal(found, cut(dataset_folder))
    assert not np.array_equal(found, cut(dataset_folder, seed=1))
    # A model of half-metre pixels sees the whole height of the scene, 512 pixels, in 256.
    coarse = card.model_copy(update={"gsd": Gsd(min_m=0.5, max_m=1.0, preferred_m=0.5)})
    halved = cv2.resize(town(512, 640, 1)[0], (320, 256), interpolation=cv2.INTER_AREA)
    smooth = cv2.blur(halved, (9, 9)).astype(float)
    for source in (dataset_folder, dataset_folder / "scene.tif"):
        (tile,) = calibration_tiles([source], number=1, tile_px=256, card=coarse)
        seen = cv2.blur(np.ascontiguousarray(tile.transpose(1, 2, 0)), (9, 9))
        off = [np.abs(seen - smooth[:, k : k + 256]).mean() for k in range(65)]
        assert min(off) < 0.4 * np.median(off)


def test_scores_of_a_scene_are_counted_pixel_by_pixel(
    scene: LabelledScene, tiny_model: Model
) -> None:
    # One network that sees all bright pixels as houses, as they are; one that sees half of them.
    def right(image: np.ndarray) -> np.ndarray:
        return (image.mean(0) > 110).astype(np.float32)[None]

    def half(image: np.ndarray) -> np.ndarray:
        found = right(image)
        found[:, :, ::2] = 0
        return found

    card = tiny_model.card
    whole, striped = score_scene(scene, card, 128, (right, half))
    assert whole[""] == pytest.approx(1.0, abs=0.02)
    # Precision 1, recall one half: F1 of two thirds.
    assert striped[""] == pytest.approx(2 / 3, abs=0.03)
