"""Labelled scenes: given in pairs, or those of a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildext.benchmark.scenes import bundled_scenes, given_scenes
from buildext.errors import MissingInputError, UsageError
from tests.benchmark.conftest import DATASETS

VILLAGE = DATASETS / "zanzibar_b"
SUBURB = DATASETS / "vegas_satellite"


def test_a_checkout_has_scenes_that_no_model_was_trained_on() -> None:
    found = {scene.name: scene for scene in bundled_scenes(DATASETS)}
    assert set(found) == {"kampala_b", "vegas_satellite", "zanzibar_b"}
    assert found["zanzibar_b"].are_objects
    assert not found["vegas_satellite"].are_objects
    assert all(scene.image.is_file() and scene.labels.is_file() for scene in found.values())


def test_an_installed_package_has_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none comes with an installed package"):
        bundled_scenes(tmp_path)


def test_a_mask_has_no_objects_and_equal_names_are_told_apart() -> None:
    images = [VILLAGE / "scene.tif", SUBURB / "scene.tif"]
    found = given_scenes(images, [VILLAGE / "buildings.gpkg", SUBURB / "mask.tif"])
    assert [scene.are_objects for scene in found] == [True, False]
    assert [scene.name for scene in found] == ["zanzibar_b/scene", "vegas_satellite/scene"]


def test_pairs_must_be_whole_and_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got 1 scenes and 0 labels"):
        given_scenes([VILLAGE / "scene.tif"], [])
    with pytest.raises(MissingInputError, match=r"nowhere\.gpkg"):
        given_scenes([VILLAGE / "scene.tif"], [tmp_path / "nowhere.gpkg"])
