"""Factors become grids, grids become configs, mistakes are told before anything is trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from buildext.errors import MissingInputError, UsageError
from buildext.learn.study.design import Arm, key_of, load_design
from tests.learn.study.conftest import RECIPE

GRID = """
[study]
name = "tiny"
seeds = [0, 1]
base = "tiny.toml"

[[stages]]
name = "rates"
[stages.set]
"schedule.steps" = 8
[stages.factors]
"schedule.learning_rate" = [0.02, 1e-6]
"schedule.batch" = [2, 3]

[[stages]]
name = "heads"
reference = "conv"
[stages.factors]
network.head = ["subpixel", "conv"]
"""


@pytest.fixture
def grid_file(study_file: Path) -> Path:
    study_file.write_text(GRID)
    return study_file


def test_a_stage_is_the_product_of_its_factors(grid_file: Path) -> None:
    design = load_design(grid_file)
    rates, heads = design.stages
    arms = design.arms(rates, [])
    assert [arm.label for arm in arms] == ["0.02 · 2", "0.02 · 3", "1e-06 · 2", "1e-06 · 3"]
    config = design.config(arms[3], 1)
    assert (config.schedule.learning_rate, config.schedule.batch) == (1e-6, 3)
    assert (config.schedule.steps, config.seed) == (8, 1)
    # The base is untouched, and what a stage sets for itself is not handed on.
    (subpixel, conv) = design.arms(heads, [arms[1]])
    assert subpixel.label == "subpixel"
    assert conv.levels == {
        "schedule.learning_rate": "0.02",
        "schedule.batch": "3",
        "network.head": "conv",
    }
    config = design.config(conv, 0)
    assert (config.schedule.batch, config.schedule.steps, config.network.head) == (3, 20, "conv")


def test_arms_on_several_carried_ones_say_so(grid_file: Path) -> None:
    design = load_design(grid_file)
    carried = design.arms(design.stages[0], [])[:2]
    heads = design.stages[1].model_copy(update={"reference": ""})
    assert [a.label for a in design.arms(heads, carried)] == [
        "0.02 · 2 · subpixel",
        "0.02 · 2 · conv",
        "0.02 · 3 · subpixel",
        "0.02 · 3 · conv",
    ]


def test_levels_of_several_keys(grid_file: Path) -> None:
    text = GRID.replace(
        'network.head = ["subpixel", "conv"]',
        'size = [{label = "small", "sampling.tile_px" = 32, schedule.batch = 4}, {label = "conv"}]',
    )
    grid_file.write_text(text)
    design = load_design(grid_file)
    small, plain = design.arms(design.stages[1], [])
    assert design.config(small, 0).sampling.tile_px == 32
    assert design.config(small, 0).schedule.batch == 4
    assert design.config(plain, 0).schedule.batch == 4


def test_the_key_is_the_config_and_the_seed(grid_file: Path) -> None:
    design = load_design(grid_file)
    arm = Arm("a", {}, {"schedule.batch": 3}, {})
    again = Arm("b", {"x": "y"}, {}, {"schedule.batch": 3})
    assert key_of(design.config(arm, 1)) == key_of(design.config(again, 1))
    assert key_of(design.config(arm, 1)) != key_of(design.config(arm, 2))
    elsewhere = Arm("c", {}, {"schedule.batch": 3, "machine.threads": 7, "name": "other"}, {})
    assert key_of(design.config(elsewhere, 1)) == key_of(design.config(arm, 1))


def test_a_base_may_be_inline(grid_file: Path) -> None:
    recipe = RECIPE.replace("\n[", "\n[base.")
    inline = GRID.replace('base = "tiny.toml"\n', "\n[base]\n" + recipe)
    grid_file.write_text(inline)
    design = load_design(grid_file)
    assert design.config(Arm("a", {}, {}, {}), 0).sampling.tile_px == 64


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("schedule.batch", "schedule.bacth", "did you mean 'batch'"),
        ('"subpixel", "conv"', '"subpixl", "conv"', "did you mean 'subpixel'"),
        ("[2, 3]", "2", "a list of levels|= \\[first"),
        ("[2, 3]", "[2, 2]", "different labels"),
        ('"conv"]', '{"network.head" = "conv"}]', "add label"),
        ('reference = "conv"', 'reference = "covn"', "did you mean 'conv'"),
        ('base = "tiny.toml"', "", "below \\[study\\]"),
        ('name = "rates"\n', 'name = "rates"\nkepp = 2\n', "docs/study.md"),
        ('name = "rates"', 'name = "rates"\nkeep = 0', "docs/study.md"),
        ('name = "rates"', 'name = "rates"\nkeep = ["0.02 · 4"]', "did you mean '0.02 · 3'"),
        ("schedule.batch", "name.batch", "is no table|training config"),
    ],
)
def test_mistakes_are_told_at_once(grid_file: Path, old: str, new: str, told: str) -> None:
    assert old in GRID
    grid_file.write_text(GRID.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        load_design(grid_file)
    assert re.search(told, f"{caught.value} {caught.value.hint}")


def test_a_missing_base_is_told(grid_file: Path) -> None:
    grid_file.write_text(GRID.replace("tiny.toml", "none.toml"))
    with pytest.raises(MissingInputError, match=r"none\.toml"):
        load_design(grid_file)
