"""`buildext finetune` from a scene and some outlines to a model folder, on a synthetic town."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyogrio
import pytest
import rasterio
import shapely
import torch
from click.testing import CliRunner

from buildext.cli.finetune import finetune
from buildext.errors import (
    BuildextError,
    DamagedModelError,
    InputError,
    LabelError,
    OutputExistsError,
    UnknownModelError,
    UsageError,
)
from buildext.learn.compress.export import export_onnx
from buildext.learn.networks.build import build_network
from buildext.learn.networks.normalisation import Normalisation
from buildext.learn.training.data.dataset import open_dataset
from buildext.models.card import Card, Gsd, NetworkSpec, Thresholds, TrainingData
from buildext.models.store import WEIGHTS_NAME, load_model, write_model_card


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the smallest network, with random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    spec = NetworkSpec(
        encoder="tu-test_efficientnet", decoder_channels=(16, 16, 8, 8), head="subpixel"
    )
    torch.manual_seed(0)
    network = build_network(spec, ("building", "contact"))
    export_onnx(network, Normalisation(), folder / WEIGHTS_NAME)
    card = Card(
        name="tiny",
        network=spec,
        channels=("building", "contact"),
        mean=Normalisation().mean,
        std=Normalisation().std,
        gsd=Gsd(min_m=0.1, max_m=0.6, preferred_m=0.25),
        thresholds=Thresholds(building=0.5, contact=0.25, grow_m=1.2),
        training_data=(TrainingData(name="elsewhere", licence="CC0-1.0"),),
        training={"seed": 20},
    )
    write_model_card(folder, card)
    return folder


def call(*args: object) -> str:
    result = CliRunner().invoke(finetune, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def write_polygons(path: Path, shapes: list[Any], crs: str = "EPSG:32630") -> Path:
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(shapes)),
        field_data=[],
        fields=[],
        geometry_type="Polygon",
        crs=crs,
        driver="GPKG",
    )
    return path


def town_polygons(folder: Path) -> list[Any]:
    _, _, wkb, _ = pyogrio.raw.read(folder / "buildings.gpkg")
    return list(shapely.from_wkb(wkb))


@pytest.fixture
def few(dataset_folder: Path) -> Path:
    """The labels of sixteen houses in the west of the town."""
    shapes = sorted(town_polygons(dataset_folder), key=lambda shape: shape.centroid.x)
    return write_polygons(dataset_folder / "few.gpkg", shapes[:16])


def test_from_corrections_to_model(
    few: Path, dataset_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    arguments = ("--scene", dataset_folder / "scene.tif", "--labels", few, "-o", out)
    options = ("--model", tiny_model, "--steps", 3, "--threads", 1, "--licence", "CC0-1.0")
    lines = call(*arguments, *options, "--progress", "json").splitlines()
    result = json.loads(lines[-1])
    assert result["event"] == "result"
    assert (result["learned"], result["held_out"]) == (12, 4)
    assert 0 <= result["before"]["f1"] <= 1
    assert 0 <= result["after"]["f1"] <= 1
    report = json.loads((out / "report.json").read_text())
    assert report["model"] == str(out / "model")
    assert report["started_from"] == "tiny"

    model = load_model(out / "model")
    old = load_model(tiny_model).card
    assert model.card.name == "tiny-scene"
    assert [data.name for data in model.card.training_data] == ["elsewhere", "tiny-scene"]
    assert model.card.training_data[1].licence == "CC0-1.0"
    assert model.card.training["fine_tuned_from"]["files"] == old.files
    assert model.card.training["before"] == {"seed": 20}
    assert (model.card.thresholds, model.card.gsd) == (old.thresholds, old.gsd)
    assert model.card.scores[0].values == {
        "before": report["before"]["f1"],
        "after": report["after"]["f1"],
    }
    session = onnxruntime.InferenceSession(str(model.weights))
    (seen,) = session.run(None, {"image": np.zeros((1, 3, 64, 64), np.uint8)})
    assert seen.shape == (1, 2, 64, 64)

    # What was learned from is a dataset; what was held out is not in it.
    (item,) = list(open_dataset(out / "data", None))
    numbers = np.unique(item.scene.labels[item.scene.counted])
    assert len(numbers[numbers > 0]) == 12
    assert item.scene.instances
    assert not item.scene.known.all()
    assert not item.scene.valid.all()
    assert not (out / "run" / "phases").exists()

    # The same again: refused, then replaced with the very same weights.
    with pytest.raises(OutputExistsError, match="exists already"):
        call(*arguments, *options)
    first = model.weights.read_bytes()
    shown = call(*arguments, *options, "--overwrite", "--progress", "none")
    assert "pixel F1" in shown
    assert (out / "model" / WEIGHTS_NAME).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_little_is_said_and_done(dataset_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    scene = dataset_folder / "scene.tif"
    four = write_polygons(tmp_path / "four.gpkg", town_polygons(dataset_folder)[:4])
    out = tmp_path / "tuned"
    options = ("--model", tiny_model, "--steps", 1, "--threads", 1, "--progress", "json")
    result = json.loads(
        call("--scene", scene, "--labels", four, "-o", out, *options).splitlines()[-1]
    )
    assert (result["learned"], result["held_out"], result["before"]) == (4, 0, None)
    assert ["teach little" in text for text in result["warnings"]] == [True, False]
    assert load_model(out / "model").card.scores == ()

    # A folder that something else has written stays.
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputExistsError, match="no fine-tuning has written"):
        call("--scene", scene, "--labels", four, "-o", tmp_path / "mine", "--overwrite", *options)


def test_with_an_area_everything_in_it_is_known(
    few: Path, dataset_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    area = write_polygons(tmp_path / "area.gpkg", [shapely.box(500_000, 19_890, 500_080, 19_990)])
    out = tmp_path / "tuned"
    options = ("--model", tiny_model, "--steps", 1, "--threads", 1, "--progress", "none")
    call(
        *("--scene", dataset_folder / "scene.tif", "--labels", few, "-o", out, "--area", area),
        *("--hold-out", 0, *options),
    )
    (item,) = list(open_dataset(out / "data", None))
    # 80 m x 100 m of 0.25 m, and what of the sixteen houses is not in it.
    assert 80 * 100 * 16 <= item.scene.known.sum() < 80 * 100 * 16 * 1.2


def test_mistakes_are_told_and_leave_nothing(
    few: Path, dataset_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    scene = dataset_folder / "scene.tif"
    folder = tmp_path / "outputs"
    folder.mkdir()

    def fails(error: type[BuildextError], match: str, **changed: object) -> None:
        values = {"scene": scene, "labels": few, "model": tiny_model} | changed
        pairs = [text for key, value in values.items() for text in (f"--{key}", value)]
        with pytest.raises(error, match=match):
            call(*pairs, "-o", folder / "tuned", "--steps", 1, "--progress", "none")
        assert list(folder.iterdir()) == []

    far = write_polygons(tmp_path / "far.gpkg", [shapely.box(400_000, 0, 400_010, 10)])
    fails(LabelError, "outside the scene", labels=far)
    fails(LabelError, "without any polygon", labels=write_polygons(tmp_path / "no.gpkg", []))
    fails(LabelError, "cannot read", labels=tmp_path / "missing.gpkg")
    fails(LabelError, "nothing lies on the scene", area=far)
    fails(UnknownModelError, "expected a bundled model", model="defualt")
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_model, damaged)
    with (damaged / WEIGHTS_NAME).open("ab") as file:
        file.write(b"x")
    fails(DamagedModelError, "sha256", model=damaged)
    coarse = tmp_path / "coarse.tif"
    with rasterio.open(scene) as source:
        profile, pixels = source.profile, source.read()
    profile["transform"] = profile["transform"] @ profile["transform"].scale(8)
    with rasterio.open(coarse, "w", **profile) as target:
        target.write(pixels)
    fails(InputError, "2 m per pixel", scene=coarse)


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildext.cli.finetune.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        call("--scene", "s.tif", "--labels", "l.gpkg", "-o", "out")
    assert caught.value.hint == 'pip install "buildext[train]"'
