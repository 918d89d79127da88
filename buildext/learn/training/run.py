"""A whole run: config -> scenes -> network -> loop -> exported model.

The output folder holds all that is needed to understand the run, resume it or make it again:

| file | content |
|---|---|
| `config.json` | the resolved config |
| `provenance.json` | git revision, package versions, sha256 of every image and label file |
| `checkpoint.safetensors` | the state after the last saved step |
| `log.csv`, `tensorboard/` | losses and held-out scores |
| `model/` | `card.json` and `model.onnx`, as `buildext extract --model` takes them |
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from buildext.errors import OutputExistsError, UsageError
from buildext.learn.networks.build import SegmentationNetwork, build_network
from buildext.learn.networks.pretrained import load_encoder
from buildext.learn.training.checkpoint import FILE_NAME, load_mean
from buildext.learn.training.config import TrainingConfig, check_config, load_config, resolve_path
from buildext.learn.training.dataset_card import DatasetCard, ScenePaths, find_scenes, load_card
from buildext.learn.training.loop import train_network
from buildext.learn.training.provenance import (
    fingerprint_of,
    git_revision,
    hash_file,
    package_versions,
)
from buildext.learn.training.sampling import TileSampler, monitor_tiles
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


def train(config_path: Path, out: Path, *, resume: bool, progress: Progress) -> dict[str, float]:
    """Run a config; returns the held-out scores.

    Raises:
        UsageError, InputError, ModelError: see the parts; nothing is trained then.
        OutputExistsError: `out` holds a run and `resume` is false.
    """
    config = load_config(config_path)
    if (out / FILE_NAME).exists() and not resume:
        raise OutputExistsError(
            f"the folder {out} holds a run already", hint="use --resume or choose another --out"
        )
    base = config_path.resolve().parent
    torch.manual_seed(config.seed)
    network = build_network(config.network.spec())
    hashes: dict[str, str] = {}
    if config.network.pretrained:
        weights = resolve_path(config.network.pretrained, base, "pretrained encoder")
        load_encoder(network.encoder, weights)
        hashes["pretrained"] = hash_file(weights)
    pool = read_pool(config, base, progress)
    hashes |= pool.hashes
    # Steps of logging and the machine may change between two parts of a run, nothing else.
    learned = config.model_dump(mode="json", exclude={"machine", "data_root", "datasets"})
    fingerprint = fingerprint_of({"config": learned, "data": hashes})
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / "config.json", config.model_dump(mode="json"))
    _write_json(
        out / "provenance.json",
        {
            "git_revision": git_revision(),
            "packages": package_versions(),
            "data_sha256": hashes,
            "datasets": [card.model_dump(mode="json") for card in pool.cards],
            "fingerprint": fingerprint,
        },
    )
    sampler = TileSampler(pool.training, config.sampling, config.seed)
    scores = train_network(
        network, sampler, pool.monitor, config, out, fingerprint, progress, resume=resume
    )
    export_run(out, out / "model")
    return scores


def read_pool(config: TrainingConfig, base: Path, progress: Progress) -> Pool:
    """Read every scene of the config's datasets and split them by place.

    Raises:
        UsageError: a dataset is for validation only, or named twice.
        InputError: a file is missing or unusable.
    """
    from buildext.learn.training.reading import read_scene

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
        found += [(card, paths) for paths in find_scenes(card, root)]
    names = [paths.name for _, paths in found]
    if len(set(names)) != len(names):
        raise UsageError("two datasets of the config have the same name", hint="name each once")
    pool = Pool(
        [],
        {},
        [card for i, (card, _) in enumerate(found) if card not in [c for c, _ in found[:i]]],
        {},
    )
    progress.start("reading scenes", len(found))
    for card, paths in found:
        scene = read_scene(paths.name, paths.image, paths.labels, card.instances)
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


def export_run(run: Path, out: Path) -> None:
    """Export the running mean in a run's checkpoint, finished or not, as a model folder.

    Raises:
        ModelError: there is no checkpoint, or the export does not agree with torch.
    """
    from buildext.learn.compress.export import export_onnx
    from buildext.learn.training.describe import describe_run

    config = check_config(_read_json(run / "config.json"), str(run / "config.json"))
    network: SegmentationNetwork = build_network(config.network.spec())
    step = load_mean(run / FILE_NAME, network)
    out.mkdir(parents=True, exist_ok=True)
    check = export_onnx(network, config.network.normalisation(), out / "model.onnx")
    card = describe_run(config, _read_json(run / "provenance.json"), step, check, out)
    _write_json(out / "card.json", card)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
