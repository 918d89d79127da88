"""`buildext train` from a config to a model folder, on a synthetic town."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from buildext.cli.train import train
from buildext.errors import MissingInputError, OutputExistsError, UsageError
from buildext.models.store import load_model


def call(*args: object) -> str:
    result = CliRunner().invoke(train, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def run(recipe_file: Path, tmp_path: Path) -> Path:
    out = tmp_path / "run"
    call(recipe_file, "--out", out, "--progress", "none")
    return out


def test_from_config_to_model(run: Path, recipe_file: Path, tmp_path: Path) -> None:
    model = load_model(run / "model")
    assert model.card.channels == ("building", "contact")
    assert model.card.network.head == "subpixel"
    assert model.card.training["steps"] == 6
    assert model.card.training_data[0].licence == "CC0-1.0"
    assert model.card.scores[0].dataset == "town"
    provenance = json.loads((run / "provenance.json").read_text())
    assert set(provenance["data_sha256"]) == {"town/scene:image", "town/scene:labels"}
    assert provenance["packages"]["torch"]
    assert json.loads((run / "config.json").read_text())["schedule"]["steps"] == 6
    session = onnxruntime.InferenceSession(str(model.weights))
    (probability,) = session.run(None, {"image": np.zeros((1, 3, 64, 64), np.uint8)})
    assert probability.shape == (1, 2, 64, 64)

    # A second run in the same folder is refused, resuming a finished one exports it again.
    with pytest.raises(OutputExistsError, match="holds a run"):
        call(recipe_file, "--out", run)
    first = (run / "model" / "model.onnx").read_bytes()
    events = call(recipe_file, "--out", run, "--resume", "--progress", "json").splitlines()
    assert json.loads(events[-1])["event"] == "result"
    assert (run / "model" / "model.onnx").read_bytes() == first

    call(recipe_file, "--out", run, "--snapshot", tmp_path / "snapshot", "--progress", "none")
    assert (tmp_path / "snapshot" / "model.onnx").read_bytes() == first


def test_mistakes_are_told_before_anything_is_trained(recipe_file: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no file at"):
        call(tmp_path / "none.toml")
    card = recipe_file.parent / "town" / "dataset.toml"
    card.write_text('use = "validate"\n' + card.read_text())
    with pytest.raises(UsageError, match="must not be trained on"):
        call(recipe_file, "--out", tmp_path / "run")
    with pytest.raises(MissingInputError, match="folder of a run"):
        call(recipe_file, "--out", tmp_path / "run", "--snapshot", tmp_path / "snapshot")
    assert not (tmp_path / "run").exists()


def test_without_torch_the_extra_is_named(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildext.cli.train.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        call(recipe_file)
    assert caught.value.hint == 'pip install "buildext[train]"'
