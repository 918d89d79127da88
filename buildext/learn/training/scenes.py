"""Plain values between reading and training: a labelled scene and a labelled tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What stands where there is no image: the mean colour that encoders were trained with.
FILL_RGB = (124, 116, 104)


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """A whole scene in memory, on a grid of square pixels.

    Attributes:
        name: `dataset/stem`.
        image: uint8 `(H, W, 3)` RGB.
        labels: int32 `(H, W)`; 0 is background, every other value one building (or, without
            instances, 1 for all).
        valid: bool `(H, W)`; false where the image has no data.
        instances: whether touching buildings have different labels.
        gsd_m: metres on the ground per pixel.
    """

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    valid: NDArray[np.bool_]
    instances: bool
    gsd_m: float

    @property
    def dataset(self) -> str:
        """The name of the dataset that the scene belongs to."""
        return self.name.split("/", 1)[0]


@dataclass(frozen=True, slots=True)
class Tile:
    """A square cut from a scene at some resolution; the same fields, `weight` for `valid`."""

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    weight: NDArray[np.bool_]
    instances: bool
    gsd_m: float
