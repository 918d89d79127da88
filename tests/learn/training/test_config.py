"""A config is checked before anything is trained."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from benchmarks.quantisation import Comparison, config_of
from buildext.errors import MissingInputError, UsageError
from buildext.learn.search.config import load_search
from buildext.learn.study.design import load_design
from buildext.learn.training.config import check_config, load_config, resolve_path

RECIPES = Path(__file__).parents[3] / "recipes"
LEAST = {"name": "x", "datasets": ["d"], "schedule": {"steps": 1}}


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.toml")), ids=lambda p: p.stem)
def test_every_recipe_is_valid_and_its_cards_exist(path: Path) -> None:
    values = tomllib.loads(path.read_text())
    if "study" in values:
        datasets = load_design(path).base["datasets"]
    elif "constraints" in values:
        datasets = load_search(path)[1].datasets
    elif "arms" in values:
        recipe = Comparison.model_validate(values)
        (datasets,) = {tuple(config_of(recipe, arm).datasets) for arm in recipe.arms}
    else:
        datasets = load_config(path).datasets
    for dataset in datasets:
        assert (path.parent / dataset / "dataset.toml").is_file()


def test_a_typo_names_the_key_and_its_nearest_neighbour() -> None:
    values = {**LEAST, "schedule": {"steps": 1, "leraning_rate": 1e-3}}
    with pytest.raises(UsageError, match=r"schedule\.leraning_rate") as caught:
        check_config(values, "x.toml")
    assert caught.value.hint == "did you mean 'learning_rate'?"


def test_an_unknown_choice_names_its_neighbour() -> None:
    with pytest.raises(UsageError, match=r"method\.kind: got 'sdaa'; expected") as caught:
        check_config({**LEAST, "method": {"kind": "sdaa"}}, "x.toml")
    assert caught.value.hint == "did you mean 'sda'?"


def test_a_typo_in_an_optional_section_is_found_too() -> None:
    with pytest.raises(UsageError, match=r"teacher\.encodr") as caught:
        check_config({**LEAST, "teacher": {"encodr": "vgg19"}}, "x.toml")
    assert caught.value.hint == "did you mean 'encoder'?"


def test_an_unknown_section_names_its_neighbour() -> None:
    with pytest.raises(UsageError, match="'samplign'") as caught:
        check_config({**LEAST, "samplign": {}}, "x.toml")
    assert "'sampling'" in caught.value.hint


def test_a_key_without_neighbour_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="'qqq'") as caught:
        check_config({**LEAST, "qqq": 1}, "x.toml")
    assert "known keys: name, seed" in caught.value.hint


def test_a_wrong_value_is_named_with_what_was_got() -> None:
    with pytest.raises(UsageError, match=r"schedule\.steps: got 0"):
        check_config({**LEAST, "schedule": {"steps": 0}}, "x.toml")


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no file at"):
        load_config(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(UsageError, match="no valid TOML"):
        load_config(broken)


def test_paths_take_variables_and_the_configs_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOMEWHERE", str(tmp_path / "pool"))
    assert resolve_path("$SOMEWHERE/a", tmp_path, "data root") == tmp_path / "pool" / "a"
    assert resolve_path("../b", tmp_path / "c", "data root") == tmp_path / "b"
    monkeypatch.delenv("SOMEWHERE")
    with pytest.raises(UsageError, match="is not set"):
        resolve_path("$SOMEWHERE/a", tmp_path, "data root")


def test_the_default_recipe_trains_on_no_validation_data() -> None:
    values = tomllib.loads((RECIPES / "default.toml").read_text())
    for dataset in values["datasets"]:
        card = tomllib.loads((RECIPES / dataset / "dataset.toml").read_text())
        assert card["use"] == "train"
        assert card["quality"] == "clean"
