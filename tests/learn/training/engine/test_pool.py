"""A pool: roles, splits by place, and a share of the clean labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildext.errors import UsageError
from buildext.learn.training.config import SplitSection, TrainingConfig
from buildext.learn.training.engine.pool import SceneCache, read_pool
from buildext.progress import SilentProgress


@pytest.fixture
def two_datasets(dataset_folder: Path) -> Path:
    """The same image twice: under clean labels (`town`) and under noisy ones (`cadastre`)."""
    other = dataset_folder.parent / "cadastre"
    shutil.copytree(dataset_folder, other)
    card = (other / "dataset.toml").read_text()
    card = card.replace('name = "town"', 'name = "cadastre"')
    (other / "dataset.toml").write_text(card.replace('"clean"', '"noisy"'))
    return dataset_folder.parent


@pytest.fixture
def config_of(config: TrainingConfig) -> Callable[..., TrainingConfig]:
    def make(split: dict[str, Any] | None = None, **values: Any) -> TrainingConfig:
        section = SplitSection(block_m=32.0, hold_out=0.15, test=0.2, **(split or {}))
        return config.model_copy(
            update={"datasets": ("town", "cadastre"), "split": section, **values}
        )

    return make


def test_the_card_says_what_labels_are_worth(
    two_datasets: Path, config_of: Callable[..., TrainingConfig]
) -> None:
    pool = read_pool(config_of(), two_datasets, SilentProgress())
    assert [s.name for s in pool.noisy] == ["cadastre/scene"]
    assert [s.name for s in pool.clean] == ["town/scene"]
    swapped = config_of(roles={"town": "noisy", "cadastre": "clean"})
    pool = read_pool(swapped, two_datasets, SilentProgress())
    assert [s.name for s in pool.noisy] == ["town/scene"]
    with pytest.raises(UsageError, match="roles names 'twon'"):
        read_pool(config_of(roles={"twon": "clean"}), two_datasets, SilentProgress())


def test_a_place_is_held_out_under_both_labels(
    two_datasets: Path, config_of: Callable[..., TrainingConfig]
) -> None:
    pool = read_pool(config_of(), two_datasets, SilentProgress())
    np.testing.assert_array_equal(pool.noisy[0].valid, pool.clean[0].valid)
    assert not pool.clean[0].valid.all()
    # Judged by clean labels alone.
    assert set(pool.monitor) == set(pool.test) == {"town"}
    assert len(pool.monitor["town"]) == round(0.15 * 20)
    assert len(pool.test["town"]) == round(0.2 * 20)


def test_a_share_of_the_clean_labels(
    two_datasets: Path, config_of: Callable[..., TrainingConfig]
) -> None:
    cache = SceneCache()
    whole = read_pool(config_of(), two_datasets, SilentProgress(), cache)
    part = read_pool(config_of({"clean_share": 0.2}), two_datasets, SilentProgress(), cache)
    areas = [
        sum(np.count_nonzero(s.labels[s.counted]) for s in pool.clean) for pool in (whole, part)
    ]
    assert 0.1 < areas[1] / areas[0] < 0.3
    assert part.noisy[0].labels.shape == whole.noisy[0].labels.shape
    # Reading again is not needed.
    assert len(cache.datasets) == 2


def test_edges_are_softened_for_learning_only(
    two_datasets: Path, config_of: Callable[..., TrainingConfig]
) -> None:
    config = config_of()
    soft = config.loss.model_copy(update={"edge_smoothing_m": 2.0, "ignore_band_m": 1.0})
    pool = read_pool(config_of(loss=soft), two_datasets, SilentProgress())
    for tile in pool.monitor["town"] + pool.test["town"]:
        assert set(tile["target"].unique().tolist()) <= {0.0, 1.0}
        assert tile["weight"][0].min() == 0 or tile["weight"][0].all()


def test_what_is_for_validation_is_not_trained_on(
    two_datasets: Path, config_of: Callable[..., TrainingConfig]
) -> None:
    card = two_datasets / "town" / "dataset.toml"
    card.write_text('use = "validate"\n' + card.read_text())
    with pytest.raises(UsageError, match="must not be trained on"):
        read_pool(config_of(), two_datasets, SilentProgress())
