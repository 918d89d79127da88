"""The colour threshold: what a network must beat before it may be called trained.

A short schedule from scratch can end in a network that has learned nothing but "bright is roof".
The test for that needs no deep learning: of a few colour features of a pixel, one is compared with
one threshold, and the pair that gives the best pooled pixel F1 on *training* tiles is scored on
the held-out blocks that the network's own score comes from. The features are simple functions of
8-bit RGB; for vegetation the excess green 2g − r − b of the chromaticities (Woebbecke et al.,
"Color indices for weed identification", Transactions of the ASAE 38, 1995).

All thresholds are tried at once: pixels are counted in two histograms over a feature, those of
buildings and the others, and a cumulative sum gives the F1 of every threshold, from above and from
below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from buildext.learn.training.engine.monitor import f1
from buildext.learn.training.tiles.tensors import Batch

Feature = Callable[[NDArray[np.float32]], NDArray[np.float32]]
CHANNEL = "building"
# Enough pixels that the best threshold no longer moves: 96 tiles of 128 px are 1.6 million.
TRAINING_TILES = 96
BINS = 512


def _chromaticity(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares of red, green and blue; a third each for black."""
    total = rgb.sum(0, keepdims=True)
    return np.asarray(np.where(total > 0, rgb / np.maximum(total, 1), 1 / 3), np.float32)


def _saturation(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    high = rgb.max(0)
    return np.asarray((high - rgb.min(0)) / np.maximum(high, 1), np.float32)


def _excess_green(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    red, green, blue = _chromaticity(rgb)
    return np.asarray(2 * green - red - blue, np.float32)


# Each takes RGB `(3, ...)` from 0 to 255; the range is that of its histogram.
FEATURES: dict[str, tuple[Feature, tuple[float, float]]] = {
    "brightness": (lambda rgb: rgb.mean(0), (0.0, 255.0)),
    "red": (lambda rgb: rgb[0], (0.0, 255.0)),
    "green": (lambda rgb: rgb[1], (0.0, 255.0)),
    "blue": (lambda rgb: rgb[2], (0.0, 255.0)),
    "saturation": (_saturation, (0.0, 1.0)),
    "excess green": (_excess_green, (-1.0, 2.0)),
    "red - blue": (lambda rgb: rgb[0] - rgb[2], (-255.0, 255.0)),
    "red - green": (lambda rgb: rgb[0] - rgb[1], (-255.0, 255.0)),
    "green - blue": (lambda rgb: rgb[1] - rgb[2], (-255.0, 255.0)),
}


@dataclass(frozen=True, slots=True)
class ColourThreshold:
    """A rule for a pixel: `feature` above (or below) `threshold` is building."""

    feature: str
    threshold: float
    above: bool

    def __str__(self) -> str:
        return f"{self.feature} {'≥' if self.above else '<'} {self.threshold:.4g}"

    def find(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Building pixels `(H, W)` of an image `(3, H, W)`."""
        compute, _ = FEATURES[self.feature]
        high = compute(image.astype(np.float32)) >= self.threshold
        return high if self.above else ~high


@dataclass(frozen=True, slots=True)
class Baseline:
    """The best colour threshold and its F1 on held-out blocks: mean over the datasets."""

    rule: ColourThreshold
    score: float


def choose_threshold(tiles: Sequence[Batch], channel: int) -> ColourThreshold:
    """The rule with the best pooled F1 over the labelled pixels of some tiles."""
    pixels, building = _labelled_pixels(tiles, channel)
    best, chosen = -1.0, ColourThreshold("brightness", 128.0, True)
    for name, (compute, (low, high)) in FEATURES.items():
        edges = np.linspace(low, high, BINS + 1)
        values = compute(pixels)
        hits, _ = np.histogram(values[building], edges)
        misses, _ = np.histogram(values[~building], edges)
        actual = hits.sum()
        # Of the rule "at or above edge i", for every i; "below" takes the rest.
        hits_above = np.cumsum(hits[::-1])[::-1]
        found_above = hits_above + np.cumsum(misses[::-1])[::-1]
        for above in (True, False):
            true = hits_above if above else actual - hits_above
            found = found_above if above else found_above[0] - found_above
            scores = 2 * true / np.maximum(found + actual, 1)
            i = int(np.argmax(scores))
            if scores[i] > best:
                best, chosen = float(scores[i]), ColourThreshold(name, float(edges[i]), above)
    return chosen


def score_threshold(
    rule: ColourThreshold, monitor: Mapping[str, Sequence[Batch]], channel: int
) -> float:
    """Pixel F1 of a rule, pooled over each dataset's held-out tiles, mean over the datasets.

    This is how `training.monitor` scores a network. Datasets without a single labelled pixel do
    not count; nan when none is left.
    """
    scores = []
    for batches in monitor.values():
        counts = np.zeros(3)
        labelled = 0
        for batch in batches:
            weight = batch["weight"][channel].numpy() > 0
            truth = (batch["target"][channel].numpy() > 0) & weight
            found = rule.find(batch["image"].numpy()) & weight
            counts += [(found & truth).sum(), found.sum(), truth.sum()]
            labelled += int(weight.sum())
        score = f1(*counts.tolist())
        if labelled and score == score:
            scores.append(score)
    return sum(scores) / len(scores) if scores else float("nan")


def colour_baseline(
    training: Sequence[Batch], monitor: Mapping[str, Sequence[Batch]], channel: int
) -> Baseline:
    """Choose a rule on training tiles and score it on held-out ones."""
    rule = choose_threshold(training, channel)
    return Baseline(rule, score_threshold(rule, monitor, channel))


def _labelled_pixels(
    tiles: Sequence[Batch], channel: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """RGB `(3, P)` and truth `(P,)` of the labelled pixels."""
    images = torch.stack([tile["image"] for tile in tiles]).numpy().swapaxes(0, 1)
    weight = torch.stack([tile["weight"][channel] for tile in tiles]).numpy() > 0
    truth = torch.stack([tile["target"][channel] for tile in tiles]).numpy() > 0
    return images[:, weight].astype(np.float32), truth[weight]
