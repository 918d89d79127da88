"""Scaling: from whatever numbers the sensor gave to the 8-bit values that the model knows.

8-bit data stay as they are, unless haze or a dark exposure left them less than half of the range.
All else is stretched linearly, each band by two values that become 0 and 255: percentiles of a
sample of the scene's valid pixels, or the values that the user gave. The stretch is one for the
whole scene. A stretch for each tile would make the same roof bright here and
dark there, and a 16-bit scene may well span no more than 1 to 1800 of 65 535.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from buildext.scene.options import SceneOptions

log = logging.getLogger(__name__)

# Means and spread of 8-bit aerial and satellite images lie well inside these.
_USUAL_MEAN = (25.0, 230.0)
_USUAL_DEVIATION = 8.0
# An 8-bit scene all of whose bands span less than this is stretched. Those of clear scenes span 150
# to 240; with 40 % of the light left behind haze, 100.
_NARROW_SPAN = 128.0
# Forest and water span little under the clearest sky: stretched further, their noise grows roofs
# (docs/experiments/0009-haze.md).
_MAX_GAIN = 3.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """A linear map from pixel values to 0–255, one for each band.

    Attributes:
        low: values that become 0.
        high: values that become 255.
        method: `identity`, `percentiles` or `given`.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    method: str

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale `(C, H, W)` of any real dtype to uint8; NaN becomes 0."""
        if self.method == "identity":
            if pixels.dtype == np.uint8:
                return pixels
            rounded: NDArray[np.uint8] = np.rint(pixels).astype(np.uint8)
            return rounded
        scaled = np.empty(pixels.shape, np.uint8)
        for band, low, high, out in zip(pixels, self.low, self.high, scaled, strict=True):
            out[...] = (
                _lookup(band, low, high) if band.dtype.itemsize <= 2 else _scale(band, low, high)
            )
        return scaled

    def describe(self) -> dict[str, Any]:
        """The stretch as plain values, for the metadata of an output."""
        return {"method": self.method, "low": list(self.low), "high": list(self.high)}


def choose_stretch(sample: NDArray[Any], options: SceneOptions) -> Stretch:
    """The stretch for a scene from a sample `(C, N)` of its valid pixels."""
    channels = len(sample)
    if options.scale is not None:
        low, high = options.scale
        return Stretch((float(low),) * channels, (float(high),) * channels, "given")
    exact = sample if sample.dtype == np.uint8 else sample.astype(np.float64)
    bounds = np.percentile(exact, options.percentiles, axis=1)
    if sample.dtype == np.uint8:
        span = np.ptp(bounds, axis=0)
        if not 0 < span.max() < _NARROW_SPAN:
            return Stretch((0.0,) * channels, (255.0,) * channels, "identity")
        half = np.maximum(span, 255 / _MAX_GAIN) / 2
        bounds = bounds.mean(axis=0) + np.stack([-half, half])
    lows, highs = [], []
    for low, high in bounds.T.tolist():
        if high <= low:
            # A constant band becomes mid-grey.
            margin = max(0.5, abs(low) * 1e-3)
            low, high = low - margin, high + margin
        lows.append(low)
        highs.append(high)
    return Stretch(tuple(lows), tuple(highs), "percentiles")


def warn_if_unusual(sample: NDArray[Any], stretch: Stretch) -> None:
    """Log a warning where the scaled sample `(C, N)` looks unlike any image a model was shown."""
    scaled = stretch.apply(sample[:, :, None])
    mean, deviation = float(scaled.mean()), float(scaled.std())
    if not _USUAL_MEAN[0] <= mean <= _USUAL_MEAN[1] or deviation < _USUAL_DEVIATION:
        log.warning(
            "the scaled image is unusual (mean %.0f, standard deviation %.0f of 0–255): "
            "expect poor results, or set --scale low,high",
            mean,
            deviation,
        )


def _scale(band: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    exact = band if band.dtype.kind == "f" else band.astype(np.float64)
    scaled = (exact - exact.dtype.type(low)) * exact.dtype.type(255 / (high - low))
    return np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)


def _lookup(band: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """As `_scale`, by a table of all 8- or 16-bit values: several times as fast."""
    if band.dtype.kind == "f":
        return _scale(band, low, high)
    # Two's complement: negative values index the upper half of the table.
    return np.take(_table(band.dtype.str, low, high), band.view(f"u{band.dtype.itemsize}"))


@lru_cache(maxsize=32)
def _table(dtype: str, low: float, high: float) -> NDArray[np.uint8]:
    limits = np.iinfo(dtype)
    values = np.arange(limits.min, limits.max + 1, dtype=np.float64)
    return np.roll(_scale(values, low, high), limits.min)
