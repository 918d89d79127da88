"""The model that comes out of a fine-tuning: weights between two models, and a card with a history.

Everything that the earlier model's card says still holds (where it was trained, under which terms,
for which resolutions, at which thresholds); what was added is the place.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from buildext.learn.compress.export import export_onnx
from buildext.learn.networks.build import SegmentationNetwork
from buildext.learn.training.config import NetworkSection
from buildext.learn.training.engine.checkpoint import load_mean
from buildext.learn.training.engine.fit import KEPT_NETWORK
from buildext.learn.training.engine.workshop import CHECKPOINT, PHASES
from buildext.learn.training.methods.rehearsal import SHEET_NAME
from buildext.learn.training.run import CONFIG_FILE, PROVENANCE_FILE
from buildext.models.card import Score, TrainingData, read_card
from buildext.models.store import WEIGHTS_NAME, Model, write_model_card

Tensors = dict[str, torch.Tensor]

PROTOCOL = (
    "pixel F1 at threshold 0.5 on labels of the place that were held out, and around them where "
    "labels are known; `before` is the model that the fine-tuning began with"
)


def mix(before: Tensors, after: Tensors, strength: float) -> Tensors:
    """`before + strength · (after − before)`; counters are those of `after`."""
    return {
        name: torch.lerp(before[name], value, strength) if value.is_floating_point() else value
        for name, value in after.items()
    }


def tuned_weights(run: Path) -> tuple[Tensors, int]:
    """The running mean of a run's network and the number of steps behind it."""
    (checkpoint,) = (run / PHASES).glob(f"*/{CHECKPOINT}")
    tensors, steps = load_mean(checkpoint)
    kept = {
        name.removeprefix(KEPT_NETWORK): value
        for name, value in tensors.items()
        if name.startswith(KEPT_NETWORK)
    }
    return kept, steps


def write_model(
    folder: Path, network: SegmentationNetwork, section: NetworkSection, model: Model, run: Path
) -> None:
    """Export a fine-tuned network with the history of `model` and of the training in `run`."""
    folder.mkdir()
    sheet = model.files / SHEET_NAME
    if sheet.exists():
        shutil.copy(sheet, folder / SHEET_NAME)
    check = export_onnx(network, section.normalisation(), folder / WEIGHTS_NAME)
    config = _read_json(run / CONFIG_FILE)
    provenance = _read_json(run / PROVENANCE_FILE)
    (place,) = provenance["datasets"]
    data = TrainingData(name=config["name"], licence=place["licence"], places=(place["title"],))
    old = model.card
    card = old.model_copy(
        update={
            "name": config["name"],
            "version": "1",
            "description": f"{old.name}, version {old.version}, fine-tuned on {place['title']}",
            "training_data": (*old.training_data, data),
            "training": {
                "fine_tuned_from": {"name": old.name, "version": old.version, "files": old.files},
                "config": config,
                "git_revision": provenance["git_revision"],
                "packages": provenance["packages"],
                "data_sha256": provenance["data_sha256"],
                "export_difference": {"engine": check.engine, "rounding": check.rounding},
                "before": old.training,
            },
            # Those of the earlier model are not this one's.
            "scores": (),
            "files": {},
        }
    )
    write_model_card(folder, card)


def add_scores(folder: Path, place: str, values: dict[str, float]) -> None:
    """Write scores on what was held out into the card of a model folder."""
    score = Score(dataset=place, protocol=PROTOCOL, values=values)
    write_model_card(folder, read_card(folder).model_copy(update={"scores": (score,)}))


def _read_json(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
