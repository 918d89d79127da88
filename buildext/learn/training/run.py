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
from pathlib import Path
from typing import Any

import torch

from buildext.errors import MissingInputError, OutputExistsError
from buildext.learn.networks.build import build_network
from buildext.learn.networks.loading import load_encoder
from buildext.learn.training.checkpoint import FILE_NAME, load_mean
from buildext.learn.training.config import check_config, load_config, resolve_path
from buildext.learn.training.log import last_scores
from buildext.learn.training.loop import train_network
from buildext.learn.training.pool import read_pool
from buildext.learn.training.provenance import (
    fingerprint_of,
    git_revision,
    hash_file,
    package_versions,
)
from buildext.learn.training.sampling import TileSampler
from buildext.progress import Progress

CONFIG_FILE = "config.json"
PROVENANCE_FILE = "provenance.json"
# What may change between two parts of a run: where it runs, and how long. Another number of steps
# bends the rest of the learning rate's cosine; every part is recorded.
MAY_CHANGE: dict[str, Any] = {
    "machine": True,
    "data_root": True,
    "datasets": True,
    "network": {"weights_origin"},
    "schedule": {"steps"},
}


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
    network = build_network(config.network.spec(), config.network.channels)
    hashes: dict[str, str] = {}
    if config.network.weights:
        weights = resolve_path(config.network.weights, base, "weights of the encoder")
        config = config.model_copy(update={"network": config.network.settled(weights)})
        load_encoder(network.encoder, weights)
        hashes["weights"] = hash_file(weights)
    pool = read_pool(config, base, progress)
    hashes |= pool.hashes
    learned = config.model_dump(mode="json", exclude=MAY_CHANGE)
    fingerprint = fingerprint_of({"config": learned, "data": hashes})
    revision = git_revision()
    parts = _read_json(out / PROVENANCE_FILE).get("parts", []) if resume else []
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / CONFIG_FILE, config.model_dump(mode="json"))
    _write_json(
        out / PROVENANCE_FILE,
        {
            "git_revision": revision,
            "parts": [*parts, {"steps": config.schedule.steps, "git_revision": revision}],
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


def export_run(run: Path, out: Path) -> None:
    """Export the running mean in a run's checkpoint, finished or not, as a model folder.

    Raises:
        MissingInputError: `run` is no folder of a run.
        ModelError: there is no checkpoint, or the export does not agree with torch.
    """
    from buildext.learn.compress.export import export_onnx
    from buildext.learn.training.describe import describe_run
    from buildext.models.store import WEIGHTS_NAME, write_model_card

    config = check_config(_read_json(run / CONFIG_FILE), str(run / CONFIG_FILE))
    network = build_network(config.network.spec(), config.network.channels)
    steps = load_mean(run / FILE_NAME, network)
    out.mkdir(parents=True, exist_ok=True)
    check = export_onnx(network, config.network.normalisation(), out / WEIGHTS_NAME)
    provenance = _read_json(run / PROVENANCE_FILE)
    card = describe_run(config, provenance, steps, network.stride_divisor, check, last_scores(run))
    write_model_card(out, card)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(
            f"got no file at {path}; expected the folder of a run", hint="check the path"
        ) from error
    return values
