"""The sensor: haze, blur, noise and tone between the scene and the file.

- Haze adds the sky's light, h · colour + (1 - h) · signal.
- The modulation transfer function is a Gaussian's: σ in pixels; 0.5 keeps 29 % of the contrast at
  the Nyquist frequency, exp(-2π²σ²/4), as good satellite products do.
- Noise is normal with the variance read² + shot · signal. It is taken, for each block of 512
  pixels, from a random place of one of a few sheets of normal numbers.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.grid.window import Window
from buildext.simulate.label_errors import stream

Singles = NDArray[np.float32]

_NOISE_BLOCK_PX = 512
_SHEETS, _SHEET_PX = 4, 768
_HAZE_RGB = np.array((150, 165, 185), np.float32)


@dataclass(frozen=True, slots=True)
class Sensor:
    """What the sensor does to the signal.

    Attributes:
        blur_px: σ of the blur in pixels.
        noise: standard deviation of the read noise in grey levels of 255.
        shot: variance of the shot noise per grey level.
        haze: share of the sky's light.
        gain: factor on everything, 1 for a well exposed image.
    """

    blur_px: float = 0.55
    noise: float = 1.5
    shot: float = 0.02
    haze: float = 0.05
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not (self.blur_px >= 0 and self.noise >= 0 and self.shot >= 0 and self.gain > 0):
            raise UsageError("got a negative blur, noise or gain; expected 0 or more")
        if not 0 <= self.haze < 1:
            raise UsageError(f"got a haze of {self.haze:g}; expected 0 to below 1")

    @property
    def halo_px(self) -> int:
        """How far the blur reaches."""
        return math.ceil(3 * self.blur_px)

    def expose(self, signal: Singles, window: Window, seed: int) -> NDArray[np.uint8]:
        """Take a picture.

        Args:
            signal: `(3, h + 2 halo, w + 2 halo)`, 0 to 255, of the window and its halo.
            window: where the picture lies.
            seed: of the noise.

        Returns:
            `(3, h, w)` uint8.
        """
        from scipy import ndimage

        halo = self.halo_px
        picture = np.empty((3, window.height, window.width), np.uint8)
        grain = _noise(window, seed)
        for band in range(3):
            values = signal[band] * np.float32(self.gain * (1 - self.haze))
            values += np.float32(self.haze * _HAZE_RGB[band])
            if halo:
                values = ndimage.gaussian_filter(values, self.blur_px, truncate=3.0, radius=halo)
                values = values[halo:-halo, halo:-halo]
            deviation = np.sqrt(np.maximum(values, 0) * np.float32(self.shot) + self.noise**2)
            values = values + grain[band] * deviation.astype(np.float32)
            picture[band] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return picture


@functools.lru_cache(maxsize=2)
def _sheets(seed: int) -> Singles:
    """Sheets of normal numbers, `(3, n, s, s)`."""
    rng = stream(seed, "sheets")
    return rng.standard_normal((3, _SHEETS, _SHEET_PX, _SHEET_PX), np.float32)


def _noise(window: Window, seed: int) -> Singles:
    """Standard normal numbers `(3, h, w)` that depend on the seed and the place alone."""
    side = _NOISE_BLOCK_PX
    sheets = _sheets(seed)
    out = np.empty((3, window.height, window.width), np.float32)
    for i in range(window.row // side, (window.row_stop - 1) // side + 1):
        for j in range(window.col // side, (window.col_stop - 1) // side + 1):
            block = Window(i * side, j * side, side, side)
            shared = block.intersection(window)
            if shared is None:
                continue
            rng = stream(seed, "noise", i, j)
            top, left = rng.integers(_SHEET_PX - side, size=2)
            values = sheets[:, rng.integers(_SHEETS), top : top + side, left : left + side]
            rows, cols = shared.shifted(-window.row, -window.col).slices
            inner_rows, inner_cols = shared.shifted(-block.row, -block.col).slices
            out[:, rows, cols] = values[:, inner_rows, inner_cols]
    return out
