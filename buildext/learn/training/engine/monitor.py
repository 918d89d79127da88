"""Scores on what was held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.tiles.height_classes import class_names
from buildext.learn.training.tiles.tensors import Batch

THRESHOLD = 0.5


def f1(true_positive: float, predicted: float, actual: float) -> float:
    """2 TP / (predicted + actual): harmonic mean of precision and recall; nan without either."""
    return 2 * true_positive / (predicted + actual) if predicted + actual else float("nan")


@torch.no_grad()
def score_tiles(
    sight: Sight, tiles: Mapping[str, Sequence[Batch]], height_limits_m: Sequence[float]
) -> dict[str, float]:
    """Pixel F1 per dataset and channel, pooled over the dataset's tiles.

    Args:
        sight: put in evaluation mode here.
        tiles: by dataset, each as `tiles.as_tensors` gives them; those with a `height_class` are
            scored by height too.
        height_limits_m: between the classes.

    Returns:
        `{"kampala/building": 0.91, ...}` and `mean/<channel>` over the datasets; a channel that a
        dataset does not label is left out. By height: `melbourne/building 12-36 m`.
    """
    names = class_names(height_limits_m)
    sight.eval()
    channels = sight.network.channels
    device = sight.mean.device
    scores: dict[str, float] = {}
    for dataset, batches in tiles.items():
        counts = torch.zeros(len(channels), 3, dtype=torch.float64)
        labelled = torch.zeros(len(channels))
        by_height = torch.zeros(len(names), 3, dtype=torch.float64)
        for batch in batches:
            logits = sight(batch["image"][None].to(device))
            weight = batch["weight"] > 0
            found = (torch.sigmoid(logits[0]).cpu() > THRESHOLD) & weight
            truth = (batch["target"] > THRESHOLD) & weight
            counts += torch.stack([found & truth, found, truth], -1).sum((1, 2)).double()
            labelled += weight.sum((1, 2))
            if "height_class" in batch:
                for k in range(len(names)):
                    counted = torch.stack([found[0] & truth[0], found[0], truth[0]])
                    of_class = counted & (batch["height_class"] == k + 1)
                    by_height[k] += of_class.sum((1, 2)).double()
        for k, channel in enumerate(channels):
            if labelled[k] > 0:
                scores[f"{dataset}/{channel}"] = f1(*counts[k].tolist())
        for k, name in enumerate(names):
            if by_height[k, 2] > 0:
                scores[f"{dataset}/{channels[0]} {name}"] = f1(*by_height[k].tolist())
    for channel in channels:
        own = [v for k, v in scores.items() if k.endswith(f"/{channel}") and v == v]
        if own:
            scores[f"mean/{channel}"] = sum(own) / len(own)
    return scores
