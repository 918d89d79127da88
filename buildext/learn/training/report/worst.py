"""The worst tiles: where the network is wrong, to be looked at.

Tiles are sorted by the share of their labelled pixels that are on the wrong side of the threshold.
(Their F1 would put tiles first that hold three pixels of a roof.) A look at them tells more than
any score: labels that are shifted or missing, roofs of a kind never seen, or plain failure.
"""

from __future__ import annotations

import base64
import html
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from buildext.learn.training.engine.monitor import THRESHOLD, f1

THUMBNAIL_PX = 176
_JPEG_QUALITY = 82
# RGB of what the last picture shows.
_BOTH, _FALSE, _MISSED, _NEITHER, _UNKNOWN = (
    (225, 225, 225),
    (224, 123, 57),
    (58, 134, 200),
    (40, 46, 54),
    (120, 120, 120),
)


@dataclass(frozen=True, slots=True)
class JudgedTile:
    """A held-out tile with what the network made of it.

    Attributes:
        dataset: that it belongs to.
        number: among the dataset's held-out tiles, from 0.
        image: uint8 `(H, W, 3)`.
        truth: bool `(H, W)`; meaningless where nothing is known.
        known: bool `(H, W)`; where labels count.
        probability: float32 `(H, W)`.
    """

    dataset: str
    number: int
    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    known: NDArray[np.bool_]
    probability: NDArray[np.float32]

    @property
    def wrong(self) -> float:
        """Share of the known pixels on the wrong side of the threshold; 0 without any."""
        count = np.count_nonzero(self.known)
        wrong = ((self.probability > THRESHOLD) != self.truth) & self.known
        return float(np.count_nonzero(wrong) / count) if count else 0.0

    @property
    def score(self) -> float:
        """Pixel F1 of this tile alone; nan without a building."""
        found = (self.probability > THRESHOLD) & self.known
        truth = self.truth & self.known
        counts = [float(np.count_nonzero(m)) for m in (found & truth, found, truth)]
        return f1(counts[0], counts[1], counts[2])


def show_tile(tile: JudgedTile) -> str:
    """A tile as HTML: image, truth, probability and errors side by side."""
    unknown = ~tile.known
    truth = np.where(tile.truth[..., None], _BOTH, _NEITHER).astype(np.uint8)
    truth[unknown] = _UNKNOWN
    grey = np.rint(255 * tile.probability).astype(np.uint8)
    heat = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    found = tile.probability > THRESHOLD
    errors = np.empty_like(tile.image)
    errors[found & tile.truth] = _BOTH
    errors[found & ~tile.truth] = _FALSE
    errors[~found & tile.truth] = _MISSED
    errors[~found & ~tile.truth] = _NEITHER
    errors[unknown] = _UNKNOWN
    pictures = "".join(
        f'<img alt="{alt}" title="{alt}" src="{as_jpeg(np.asarray(pixels, np.uint8))}">'
        for alt, pixels in (
            ("image", tile.image),
            ("truth", truth),
            ("probability", heat),
            ("errors", errors),
        )
    )
    score = "no building" if math.isnan(tile.score) else f"F1 {tile.score:.2f}"
    caption = f"{tile.dataset} no. {tile.number}: {100 * tile.wrong:.1f} % wrong, {score}"
    return (
        f"<figure><div>{pictures}</div><figcaption>{html.escape(caption)}</figcaption></figure>\n"
    )


def as_jpeg(pixels: NDArray[np.uint8]) -> str:
    """An RGB image `(H, W, 3)` as a data address, `THUMBNAIL_PX` wide."""
    height = max(1, round(THUMBNAIL_PX * pixels.shape[0] / pixels.shape[1]))
    shrinks = pixels.shape[1] > THUMBNAIL_PX
    small = cv2.resize(
        pixels,
        (THUMBNAIL_PX, height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST,
    )
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
