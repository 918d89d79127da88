"""The pool of a run: every scene of its datasets, read, hashed and split by place."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from buildext.errors import UsageError
from buildext.learn.training.config import Role, TrainingConfig, resolve_path
from buildext.learn.training.data.dataset import open_dataset
from buildext.learn.training.data.dataset_card import DatasetCard
from buildext.learn.training.data.scenes import LabelledScene, LoadedScene, Tile
from buildext.learn.training.engine.split import erase_blocks, few_clean, split_scene
from buildext.learn.training.tiles.height_classes import nearest_class
from buildext.learn.training.tiles.sampling import monitor_tiles
from buildext.learn.training.tiles.tensors import Batch, as_tensors
from buildext.progress import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pool:
    """The data of a run.

    Attributes:
        noisy, clean: scenes to train on, by what their labels are worth.
        monitor: held-out tiles by dataset, scored while the run goes on.
        test: held-out tiles by dataset, scored once.
        cards: of all datasets.
        hashes: sha256 of every file behind them.
    """

    noisy: list[LabelledScene]
    clean: list[LabelledScene]
    monitor: dict[str, list[Batch]]
    test: dict[str, list[Batch]]
    cards: list[DatasetCard]
    hashes: dict[str, str]

    def scenes(self, labels: Literal["noisy", "clean", "all"]) -> list[LabelledScene]:
        """What a phase on these labels is trained on.

        Raises:
            UsageError: there is nothing of the kind.
        """
        found = {"noisy": self.noisy, "clean": self.clean, "all": self.noisy + self.clean}[labels]
        if not found:
            raise UsageError(
                f"the method needs {labels} labels; no dataset of the config has any left",
                hint="add a dataset, set [roles], or hold out less",
            )
        return found


@dataclass(slots=True)
class SceneCache:
    """Scenes that were read already, so that the many runs of a study read them once."""

    datasets: dict[tuple[Path, Path | None], tuple[DatasetCard, list[LoadedScene]]] = field(
        default_factory=dict
    )

    def load(
        self, folder: Path, data_root: Path | None, progress: Progress
    ) -> tuple[DatasetCard, list[LoadedScene]]:
        """The card and the scenes of the dataset in `folder`; see `dataset.open_dataset`."""
        key = folder, data_root
        if key not in self.datasets:
            dataset = open_dataset(folder, data_root)
            progress.start(f"reading {dataset.card.name}", len(dataset))
            scenes = []
            for item in dataset:
                scenes.append(item)
                progress.advance()
            progress.finish()
            self.datasets[key] = dataset.card, scenes
        return self.datasets[key]


def read_pool(
    config: TrainingConfig, base: Path, progress: Progress, cache: SceneCache | None = None
) -> Pool:
    """Read every scene of the config's datasets and split them by place.

    Labels are monitored and tested on clean scenes alone, where there are any: what a noisy label
    says of a network's place is not worth knowing.

    Raises:
        UsageError: a dataset is for validation only, or named twice.
        InputError: a file is missing or unusable.
    """
    cache = cache or SceneCache()
    loaded = []
    for text in config.datasets:
        folder = resolve_path(text, base, "dataset")
        root = _data_root(config, base)
        card, scenes = cache.load(folder, root, progress)
        if card.use != "train":
            raise UsageError(
                f"the dataset {card.name} is for validation; it must not be trained on",
                hint="take it out of `datasets`",
            )
        loaded.append((card, scenes, _role(card, config)))
    names = [card.name for card, _, _ in loaded]
    if len(set(names)) != len(names):
        raise UsageError("two datasets of the config have the same name", hint="name each once")
    for key, own in (("roles", config.roles), ("sampling.weights", config.sampling.weights)):
        for name in set(own) - set(names):
            raise UsageError(
                f"{key} names {name!r}; the datasets are {', '.join(sorted(names))}",
                hint="correct the name, or add its card to `datasets`",
            )
    judges: Role = "clean" if any(role == "clean" for _, _, role in loaded) else "noisy"
    pool = Pool([], [], {}, {}, [card for card, _, _ in loaded], {})
    for card, scenes, role in loaded:
        for item in scenes:
            _add(pool, card.name, item, role, role == judges, config)
    clean, split = list(pool.clean), config.split
    pool.clean.clear()
    for name in names:
        of_dataset = [scene for scene in clean if scene.dataset == name]
        pool.clean.extend(few_clean(of_dataset, split.clean_share, split.block_m, config.seed))
    return pool


def _add(
    pool: Pool, dataset: str, item: LoadedScene, role: Role, judged: bool, config: TrainingConfig
) -> None:
    """Split one scene and add its parts to the pool."""
    scene = item.scene
    parts = split_scene(scene, config.split, config.seed, item.hashes[f"{scene.name}:image"])
    log.info(
        "%s: %d x %d px of %.3f m, %s; %d blocks held out, %d for the test",
        scene.name,
        *scene.image.shape[:2],
        scene.gsd_m,
        role,
        len(parts.monitor),
        len(parts.test),
    )
    if judged:
        # Judged by the labels as they are: softened or ignored edges are for learning only.
        plain = {"edge_smoothing_m": 0.0, "ignore_band_m": 0.0}
        judge = config.model_copy(update={"loss": config.loss.model_copy(update=plain)})
        for blocks, tiles in ((parts.monitor, pool.monitor), (parts.test, pool.test)):
            cut = [
                _judged_tile(tile, scene, judge)
                for tile in monitor_tiles(scene, list(blocks), config.sampling)
            ]
            if cut:
                tiles.setdefault(dataset, []).extend(cut)
    held_out = [*parts.monitor, *parts.test]
    kept = erase_blocks(scene, held_out, config.split.gap_m) if held_out else scene
    if kept.valid.any():
        (pool.clean if role == "clean" else pool.noisy).append(kept)
    pool.hashes.update(item.hashes)


def _judged_tile(tile: Tile, scene: LabelledScene, config: TrainingConfig) -> Batch:
    """A held-out tile, with `height_class` uint8 `(H, W)` where the scene has heights."""
    batch = as_tensors(tile, config)
    if scene.heights_m is not None:
        limits_m = config.sampling.height_limits_m
        classes = nearest_class(tile.labels, scene.heights_m, limits_m)
        batch["height_class"] = torch.from_numpy(classes)
    return batch


def _role(card: DatasetCard, config: TrainingConfig) -> Role:
    return config.roles.get(card.name, "clean" if card.quality == "clean" else "noisy")


def _data_root(config: TrainingConfig, base: Path) -> Path | None:
    """The user's root of data; None where it is not set, which samples and packed pools allow."""
    try:
        return resolve_path(config.data_root, base, "data root")
    except UsageError:
        return None
