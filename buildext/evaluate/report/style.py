"""The report's colours and its pictures' encoding.

One colour for each verdict, in plots, maps, chips and QGIS layers alike; readable to most
colour-blind people, and on roofs as well as on vegetation.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a building turned out to be.

    Attributes:
        key: short name, as of a layer.
        colour: `#rrggbb`.
        text: what it means.
    """

    key: str
    colour: str
    text: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as numbers."""
        red, green, blue = bytes.fromhex(self.colour.removeprefix("#"))
        return red, green, blue


MATCHED = Verdict("matched", "#35c48d", "predictions that match a true building")
FALSE = Verdict("false", "#ff7f32", "predictions that match none")
MISSED = Verdict("missed", "#3da5ff", "true buildings that nothing matches")
SPLIT = Verdict("split", "#e879d8", "true buildings in several parts")
MERGE = Verdict("merge", "#f2cf3b", "predictions over several true buildings")


def as_jpeg(pixels: NDArray[np.uint8], quality: int = 85) -> str:
    """An RGB image `(H, W, 3)` as a data address."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def shrink(pixels: NDArray[np.uint8], longest_px: int) -> NDArray[np.uint8]:
    """An RGB image of at most so many pixels a side."""
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
