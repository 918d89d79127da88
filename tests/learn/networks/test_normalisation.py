"""Constants of normalisation come with the weights; a config cannot contradict them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from buildext.errors import ModelError, UsageError
from buildext.learn.networks.loading import normalisation_of_weights
from buildext.learn.networks.normalisation import HALVES, IMAGENET_MEAN, Normalisation
from buildext.learn.training.config import NetworkSection

OWN = Normalisation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
METADATA = {"mean": "[0.1, 0.2, 0.3]", "std": "[0.4, 0.5, 0.6]"}


def weights(path: Path, metadata: dict[str, str] | None = None) -> Path:
    save_file({"x": torch.zeros(1)}, path, metadata)
    return path


def test_the_files_metadata_come_first_then_its_name(tmp_path: Path) -> None:
    known = tmp_path / "mobilenetv2_100.safetensors"
    assert normalisation_of_weights(weights(known)) == HALVES
    assert normalisation_of_weights(weights(known, METADATA)) == OWN
    assert normalisation_of_weights(weights(tmp_path / "mine.safetensors")) is None


@pytest.mark.parametrize("mean", ["0.5", "[0.5, 0.5]", "grey", '["a", "b", "c"]'])
def test_metadata_that_make_no_sense_are_refused(tmp_path: Path, mean: str) -> None:
    path = weights(tmp_path / "w.safetensors", {**METADATA, "mean": mean})
    with pytest.raises(ModelError, match="three numbers each"):
        normalisation_of_weights(path)


def test_a_config_takes_them_over(tmp_path: Path) -> None:
    path = weights(tmp_path / "w.safetensors", METADATA)
    assert NetworkSection().settled(path).normalisation() == OWN
    agreeing = NetworkSection(mean=OWN.mean, std=OWN.std)
    assert agreeing.settled(path).normalisation() == OWN
    assert NetworkSection().normalisation().mean == IMAGENET_MEAN


def test_a_config_that_contradicts_its_weights_is_an_error(tmp_path: Path) -> None:
    path = weights(tmp_path / "w.safetensors", METADATA)
    with pytest.raises(UsageError, match="were made"):
        NetworkSection(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).settled(path)


def test_a_file_without_constants_needs_them_in_the_config(tmp_path: Path) -> None:
    path = weights(tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="nothing says"):
        NetworkSection().settled(path)
    said = NetworkSection(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert said.settled(path).normalisation() == HALVES
