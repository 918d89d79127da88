"""Scores on what was held out: pixel F1, and metres of error in the step from roof to footprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.tiles.height_classes import class_names
from buildext.learn.training.tiles.offsets import has_offset, to_metres
from buildext.learn.training.tiles.tensors import Batch
from buildext.models.card import OFFSET_CHANNELS

THRESHOLD = 0.5
# The name of the offset's score. It is an error: the smaller, the better.
OFFSET_ERROR = "offset_m"


def f1(true_positive: float, predicted: float, actual: float) -> float:
    """2 TP / (predicted + actual): harmonic mean of precision and recall; nan without either."""
    return 2 * true_positive / (predicted + actual) if predicted + actual else float("nan")


def is_error(name: str) -> bool:
    """Whether a score of `score_tiles` is an error in metres, and no F1."""
    return name.rpartition("/")[2].startswith(OFFSET_ERROR)


@torch.no_grad()
def score_tiles(
    sight: Sight,
    tiles: Mapping[str, Sequence[Batch]],
    height_limits_m: Sequence[float],
    offset_range_m: float,
) -> dict[str, float]:
    """Pixel F1 per dataset and channel, pooled over the dataset's tiles.

    Of the offset channels it is the mean length of the difference between the predicted and the
    true step, over the pixels of roofs, in metres.

    Args:
        sight: put in evaluation mode here.
        tiles: by dataset, each as `tiles.as_tensors` gives them; those with a `height_class` are
            scored by height too.
        height_limits_m: between the classes.
        offset_range_m: of the offset channels, see `tiles.offsets`.

    Returns:
        `{"kampala/building": 0.91, ...}` and `mean/<channel>` over the datasets; a channel that a
        dataset does not label is left out. By height: `melbourne/building 12-36 m`. Errors:
        `melbourne/offset_m` and `melbourne/offset_m 12-36 m`.
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
        steps = OffsetErrors(len(names), offset_range_m)
        for batch in batches:
            logits = sight(batch["image"][None].to(device))
            weight = batch["weight"] > 0
            found = (torch.sigmoid(logits[0]).cpu() > THRESHOLD) & weight
            truth = (batch["target"] > THRESHOLD) & weight
            counts += torch.stack([found & truth, found, truth], -1).sum((1, 2)).double()
            labelled += weight.sum((1, 2))
            if has_offset(channels):
                steps.add(logits[0].cpu(), batch, channels)
            if "height_class" in batch:
                for k in range(len(names)):
                    counted = torch.stack([found[0] & truth[0], found[0], truth[0]])
                    of_class = counted & (batch["height_class"] == k + 1)
                    by_height[k] += of_class.sum((1, 2)).double()
        for k, channel in enumerate(channels):
            if labelled[k] > 0 and channel not in OFFSET_CHANNELS:
                scores[f"{dataset}/{channel}"] = f1(*counts[k].tolist())
        for k, name in enumerate(names):
            if by_height[k, 2] > 0:
                scores[f"{dataset}/{channels[0]} {name}"] = f1(*by_height[k].tolist())
        for name, error_m in zip(["", *names], steps.means_m(), strict=True):
            if error_m == error_m:
                scores[f"{dataset}/{OFFSET_ERROR} {name}".rstrip()] = error_m
    for channel in (*channels, OFFSET_ERROR):
        own = [v for k, v in scores.items() if k.endswith(f"/{channel}") and v == v]
        if own:
            scores[f"mean/{channel}"] = sum(own) / len(own)
    return scores


class OffsetErrors:
    """Lengths of the errors of steps, added up over the pixels of roofs.

    Args:
        classes: number of height classes.
        range_m: of the offset channels.
    """

    def __init__(self, classes: int, range_m: float) -> None:
        self._range_m = range_m
        # Of all, then of each class: sum of lengths, number of pixels.
        self._sums = torch.zeros(1 + classes, 2, dtype=torch.float64)

    def add(self, logits: torch.Tensor, batch: Batch, channels: Sequence[str]) -> None:
        """Count a tile with logits `(K, H, W)`."""
        k = [channels.index(name) for name in OFFSET_CHANNELS]
        there = (batch["weight"][k] > 0).all(dim=0)
        found_m = to_metres(torch.sigmoid(logits[k]), self._range_m)
        length_m = torch.linalg.vector_norm(
            found_m - to_metres(batch["target"][k].float(), self._range_m), dim=0
        )[there].double()
        number = torch.zeros(len(length_m), dtype=torch.long)
        if "height_class" in batch:
            number = batch["height_class"][there].long()
            # Roofs of unknown height belong to no class.
            known = number > 0
            self._add(number[known], length_m[known])
        self._add(torch.zeros_like(number), length_m)

    def _add(self, number: torch.Tensor, length_m: torch.Tensor) -> None:
        parts = torch.stack([length_m, torch.ones_like(length_m)], dim=1)
        self._sums.index_add_(0, number, parts)

    def means_m(self) -> list[float]:
        """Mean error of all and of each class; nan without pixels."""
        return [float(total / n) if n else float("nan") for total, n in self._sums]
