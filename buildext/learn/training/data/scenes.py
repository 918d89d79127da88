"""Plain values between reading and training: labelled scenes and labelled tiles."""

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
        known: bool `(H, W)`; true where the label can be trusted and counts. The image stays
            visible where it is false, but nothing is learned or scored there.
        instances: whether touching buildings have different labels.
        gsd_m: metres on the ground per pixel.
        heights_m: float32; the height of label `i` at index `i`, 0 for the background, nan where
            it is unknown. None where the labels have no heights at all.
        offsets_m: float32 `(labels, 2)`; the step from the roof of label `i` to its footprint,
            metres along the columns and down the rows, nan where it is unknown. None where the
            labels have none at all.
        roof_parts: int32 `(H, W)`; where the steps are those of parts of roofs, the row of
            `offsets_m` for each pixel, 0 where there is no part. None where they are the labels'.
    """

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    valid: NDArray[np.bool_]
    known: NDArray[np.bool_]
    instances: bool
    gsd_m: float
    heights_m: NDArray[np.float32] | None = None
    offsets_m: NDArray[np.float32] | None = None
    roof_parts: NDArray[np.int32] | None = None

    @property
    def dataset(self) -> str:
        """The name of the dataset that the scene belongs to."""
        return self.name.split("/", 1)[0]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Where there is an image and its label is known, bool `(H, W)`."""
        return np.asarray(self.valid & self.known, np.bool_)


@dataclass(frozen=True, slots=True)
class LoadedScene:
    """A scene and the sha256 of every file that it comes from, by `name:part`."""

    scene: LabelledScene
    hashes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Tile:
    """A square cut from a scene at some resolution.

    Attributes:
        image: uint8 `(N, N, 3)` RGB, fill where it is not valid.
        labels: int32 `(N, N)`, as in the scene; 0 where it is not valid.
        weight: bool `(N, N)`; true where the label is known and counts.
        valid: bool `(N, N)`; true where there is an image.
        instances: whether touching buildings have different labels.
        gsd_m: metres on the ground per pixel.
        offset_m: float32 `(2, N, N)`; the step from roof to footprint, metres along the tile's
            columns and down its rows, nan where there is no roof or nothing known. None where the
            scene has none.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    weight: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    instances: bool
    gsd_m: float
    offset_m: NDArray[np.float32] | None = None
