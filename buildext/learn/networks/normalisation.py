"""Normalisation: the mean and deviation that a network's weights were trained with.

A first layer has learned what zero means; other constants shift everything behind it. They
therefore travel with the weights: in the metadata of a safetensors file (`mean` and `std`, three
numbers each), or, for the known files that come without, in the table below. A config that says
something else is an error and not a choice.
"""

from __future__ import annotations

from dataclasses import dataclass

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Per-channel mean and standard deviation of RGB in `[0, 1]`."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


HALVES = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Files without metadata, by the stem of their names.
KNOWN_FILES = {
    "mobilenetv2_100": HALVES,
    "mobilenet_edgetpu_100": HALVES,
    "tf_efficientnet_lite0": HALVES,
    "tf_efficientnetv2_b0": Normalisation(),
}
