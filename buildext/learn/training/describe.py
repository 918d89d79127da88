"""The model card of a run: what an exported network says about itself."""

from __future__ import annotations

import math
from typing import Any

from buildext.learn.compress.export import ExportCheck
from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.engine.monitor import is_error
from buildext.learn.training.tiles.offsets import has_offset
from buildext.models.card import Card, Gsd, Score, Thresholds, TrainingData

PROTOCOL = (
    "pixel F1 at threshold 0.5 of the running mean on held-out blocks and scenes of the training "
    "datasets, pooled over each dataset; offset_m: mean error of the step from roof to footprint "
    "in metres, over the pixels of roofs"
)
# A missed seam merges two buildings, a false one is grown over again: hence the low one. All were
# set on places that the networks had never seen; docs/experiments/0010-default-networks.md.
BUILDING_THRESHOLD = 0.4
CORE_THRESHOLD = 0.55
CONTACT_THRESHOLD = 0.2
GROW_M = 1.2
# At extraction; three times the context of a training tile, most of it inside.
TILE_PX = 768
OVERLAP_PX = 96


def describe_run(
    config: TrainingConfig,
    provenance: dict[str, Any],
    steps: int,
    stride_divisor: int,
    check: ExportCheck,
    held_out_f1: dict[str, float],
) -> Card:
    """The card of a run's network after `steps` steps, without the hashes of its files.

    Args:
        config: of the run.
        provenance: what `run.train` wrote to `provenance.json`.
        steps: done when the network was saved.
        stride_divisor: of the network, in pixels.
        check: what the export differs by.
        held_out_f1: by `dataset/channel`.
    """
    network, (finest_m, coarsest_m) = config.network, config.sampling.gsd_m
    normalisation = network.normalisation()
    by_dataset: dict[str, dict[str, float]] = {}
    for name, value in held_out_f1.items():
        dataset, channel = name.split("/")
        if dataset != "mean":
            key = channel if is_error(name) else f"{channel}_f1"
            by_dataset.setdefault(dataset, {})[key] = round(value, 4)
    return Card(
        name=config.name,
        description=f"{network.decoder} + {network.encoder} that predicts "
        f"{' and '.join(network.channels)} from RGB",
        network=network.spec(),
        channels=network.channels,
        mean=normalisation.mean,
        std=normalisation.std,
        gsd=Gsd(
            min_m=finest_m,
            max_m=coarsest_m,
            preferred_m=round(math.sqrt(finest_m * coarsest_m), 3),
        ),
        tile_px=TILE_PX,
        overlap_px=OVERLAP_PX,
        stride_divisor=stride_divisor,
        thresholds=Thresholds(
            building=BUILDING_THRESHOLD,
            core=CORE_THRESHOLD,
            contact=CONTACT_THRESHOLD if "contact" in network.channels else None,
            grow_m=GROW_M,
        ),
        offset_range_m=config.loss.offset_range_m if has_offset(network.channels) else None,
        pretrained=network.weights_origin,
        training_data=tuple(
            TrainingData(
                name=card["name"],
                licence=card["licence"],
                attribution=card["attribution"],
                places=(card["title"],),
            )
            for card in provenance["datasets"]
        ),
        training={
            "seed": config.seed,
            "steps": steps,
            "config": config.model_dump(mode="json"),
            "git_revision": provenance["git_revision"],
            "parts": provenance["parts"],
            "packages": provenance["packages"],
            "data_sha256": provenance["data_sha256"],
            "export_difference": {"engine": check.engine, "rounding": check.rounding},
        },
        scores=tuple(
            Score(dataset=dataset, protocol=PROTOCOL, values=values)
            for dataset, values in by_dataset.items()
        ),
    )
