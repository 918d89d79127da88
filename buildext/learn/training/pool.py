"""The pool of a run: every scene of its datasets, read, hashed and split by place."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from buildext.errors import UsageError
from buildext.learn.training.config import TrainingConfig, resolve_path
from buildext.learn.training.dataset_card import DatasetCard, ScenePaths, find_scenes, load_card
from buildext.learn.training.provenance import hash_file
from buildext.learn.training.sampling import monitor_tiles
from buildext.learn.training.scenes import LabelledScene
from buildext.learn.training.split import erase_blocks, held_out_blocks
from buildext.learn.training.tiles import Batch, as_tensors
from buildext.progress import Progress

log = logging.getLogger(__name__)

CARD_FILE = "dataset.toml"


@dataclass(frozen=True, slots=True)
class Pool:
    """The data of a run: what is trained on, what is held out, and its hashes."""

    training: list[LabelledScene]
    monitor: dict[str, list[Batch]]
    cards: list[DatasetCard]
    hashes: dict[str, str]


def read_pool(config: TrainingConfig, base: Path, progress: Progress) -> Pool:
    """Read every scene of the config's datasets and split them by place.

    Raises:
        UsageError: a dataset is for validation only, or named twice.
        InputError: a file is missing or unusable.
    """
    from buildext.learn.training.reading import read_scene

    cards: list[DatasetCard] = []
    found: list[tuple[DatasetCard, ScenePaths]] = []
    for text in config.datasets:
        folder = resolve_path(text, base, "dataset")
        card = load_card(folder / CARD_FILE)
        if card.use != "train":
            raise UsageError(
                f"the dataset {card.name} is for validation; it must not be trained on",
                hint="take it out of `datasets`",
            )
        # Samples lie beside their card; everything else below the user's root.
        beside = all(any(folder.glob(entry.image)) for entry in card.scenes)
        root = folder if beside else resolve_path(config.data_root, base, "data root")
        cards.append(card)
        found += [(card, paths) for paths in find_scenes(card, root)]
    if len({card.name for card in cards}) != len(cards):
        raise UsageError("two datasets of the config have the same name", hint="name each once")
    pool = Pool(training=[], monitor={}, cards=cards, hashes={})
    progress.start("reading scenes", len(found))
    for card, paths in found:
        scene = read_scene(paths, card.instances)
        blocks = held_out_blocks(scene, config.split, config.seed)
        log.info(
            "%s: %d x %d px of %.3f m, %d blocks held out",
            scene.name,
            *scene.image.shape[:2],
            scene.gsd_m,
            len(blocks),
        )
        tiles = [as_tensors(t, config) for t in monitor_tiles(scene, blocks, config.sampling)]
        if tiles:
            pool.monitor.setdefault(card.name, []).extend(tiles)
        pool.training.append(erase_blocks(scene, blocks) if blocks else scene)
        pool.hashes[f"{paths.name}:image"] = hash_file(paths.image)
        pool.hashes[f"{paths.name}:labels"] = hash_file(paths.labels)
        progress.advance()
    progress.finish()
    return pool
