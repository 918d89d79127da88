"""Ground cover: streets, pavements, yards, gardens, parks and water, from the ground plan.

| where | what |
|---|---|
| up to 3.2 m from a block | pavement, with a kerb |
| up to 22 m from a block, where the town is dense enough | carriageway, a line in its middle |
| inside a block | paved in dense quarters, else grass, bare soil or paving by noise |
| farther away | grass or bare soil by noise; water in wide open spaces |

Borders between grass and soil follow noise of several scales, those along streets the distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildext.grid.window import Window
from buildext.simulate.noise import Noise
from buildext.simulate.plan import OPEN_M, Plan, is_water
from buildext.simulate.texture import Surface, Textures

Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]

KERB_M = 3.2
_URBAN = 0.07
_WATER_RGB = np.array((62, 82, 84), np.float32)
_LINE = 0.45


class GroundCover:
    """Colours of the ground."""

    def __init__(self, plan: Plan, textures: Textures, gsd_m: float, seed: int) -> None:
        self._plan, self._textures, self._gsd_m = plan, textures, gsd_m
        self._noise = Noise(seed + 29)

    def colours(self, window: Window, place: NDArray[np.int64]) -> tuple[Singles, Singles]:
        """Colours in full sun `(3, n)` of the pixels at `place` (flat), and their share of sky."""
        f = self._fields(window, place)
        row, col = np.divmod(place.astype(np.int32), np.int32(window.width))
        row, col = row + np.int32(window.row), col + np.int32(window.col)
        sort = _sorts(f)
        colour = np.empty((3, len(place)), np.float32)
        for surface in (Surface.GRASS, Surface.SOIL, Surface.PAVED, Surface.ASPHALT):
            here = np.flatnonzero(sort == surface)
            if len(here):
                shades = self._textures.ground(
                    surface, col[here], row[here], f.bend_x[here], f.bend_y[here]
                )
                for band in range(3):
                    colour[band, here] = shades[band]
        colour[:, sort == Surface.PLAIN] = _WATER_RGB[:, None]
        colour *= np.float32(0.9) + np.float32(0.2) * f.wear
        road = sort == Surface.ASPHALT
        line = road & (f.steep < 0.42) & (f.street_m > 4.5)
        colour[:, line] = (1 - _LINE) * colour[:, line] + _LINE * 225
        kerb = road & (f.street_m < KERB_M + 0.35)
        colour[:, kerb] = 0.5 * colour[:, kerb] + 0.5 * 178
        sky = 1 - np.exp(f.wall_m / np.float32(-7.0)) * np.minimum(0.9 * f.density, 0.45)
        return colour, sky.astype(np.float32)

    def _fields(self, window: Window, place: NDArray[np.int64]) -> _Fields:
        """What is known of the pixels at `place` (flat) of a window."""
        rows = (np.arange(window.row, window.row_stop) + 0.5) * self._gsd_m - 0.5
        cols = (np.arange(window.col, window.col_stop) + 0.5) * self._gsd_m - 0.5
        top, left = int(np.floor(rows[0])) - 1, int(np.floor(cols[0])) - 1
        height = int(np.floor(rows[-1])) + 3 - top
        width = int(np.floor(cols[-1])) + 3 - left
        plan = self._plan.read(top, left, height, width)
        steep = np.zeros_like(plan.street_m)
        dy = plan.street_m[2:, 1:-1] - plan.street_m[:-2, 1:-1]
        dx = plan.street_m[1:-1, 2:] - plan.street_m[1:-1, :-2]
        steep[1:-1, 1:-1] = 0.5 * np.hypot(dx, dy)
        y, x = np.arange(top, top + height)[:, None], np.arange(left, left + width)[None, :]
        patchy = 0.7 * self._noise.at(x, y, 24.0) + 0.3 * self._noise.at(x + 5077, y, 5.0)
        # Borders are drawn along some fields, which are interpolated; of the others the nearest
        # cell will do.
        i, j = np.rint(rows - top).astype(np.int32), np.rint(cols - left).astype(np.int32)
        cell = (i[:, None] * np.int32(width) + j).ravel()[place]

        def fine(field: Singles) -> Singles:
            return _zoom(field, rows - top, cols - left).ravel()[place]

        return _Fields(
            street_m=fine(plan.street_m),
            wall_m=plan.wall_m.ravel()[cell],
            density=plan.density.ravel()[cell],
            steep=fine(steep),
            patchy=fine(patchy),
            wide=fine(plan.wide),
            wear=self._noise.at(x, y + 991, 11.0).ravel()[cell],
            bend_x=self._noise.at(x + 7919, y, 5.0).ravel()[cell],
            bend_y=self._noise.at(x, y + 6133, 5.0).ravel()[cell],
        )


@dataclass(frozen=True, slots=True)
class _Fields:
    """What is known of some pixels, each `(n,)`.

    Attributes:
        street_m, wall_m, density, wide: see `plan`.
        steep: steepness of `street_m`; small in the middle of a street.
        patchy: noise that tells grass from bare soil.
        wear: noise that makes large patches lighter or darker.
        bend_x, bend_y: noise for the borders of texture cells.
    """

    street_m: Singles
    wall_m: Singles
    density: Singles
    steep: Singles
    patchy: Singles
    wide: Singles
    wear: Singles
    bend_x: Singles
    bend_y: Singles


def _sorts(f: _Fields) -> NDArray[np.uint8]:
    """Surface of each pixel; `PLAIN` is water."""
    green = f.patchy > 0.34 + 0.30 * (f.street_m < OPEN_M) * (f.density - 0.1)
    sort = np.where(green, np.uint8(Surface.GRASS), np.uint8(Surface.SOIL))
    garden = f.patchy > 0.16 + 1.0 * f.density
    sort[(f.street_m <= 0) & ~garden] = Surface.PAVED
    urban = f.density > _URBAN
    sort[urban & (f.street_m > 0) & (f.street_m <= KERB_M)] = Surface.PAVED
    sort[urban & (f.street_m > KERB_M) & (f.street_m < OPEN_M)] = Surface.ASPHALT
    sort[is_water(f.street_m, f.wide)] = Surface.PLAIN
    return sort


def _zoom(values: Singles, rows: NDArray[Any], cols: NDArray[Any]) -> Singles:
    """Bilinear values at all crossings of `rows` and `cols`."""
    i, j = np.floor(rows).astype(np.int64), np.floor(cols).astype(np.int64)
    fi, fj = (rows - i).astype(np.float32)[:, None], (cols - j).astype(np.float32)
    across = values[:, j] * (1 - fj) + values[:, j + 1] * fj
    zoomed: Singles = (across[i] * (1 - fi) + across[i + 1] * fi).astype(np.float32)
    return zoomed
