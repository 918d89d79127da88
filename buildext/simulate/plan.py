"""The ground plan: what lies between the buildings.

A map of footprints does not say where streets and gardens are, but it hints at them. Closing the
footprints (gaps up to 14 m fill up) gives built-up blocks; what is left between blocks are streets
and, farther from any block, open spaces. Four fields on a grid of one metre say where a place lies:

- `street_m`: distance from the nearest block, below zero inside a block;
- `wall_m`: distance from the nearest building;
- `density`: share of built-up ground within 32 m;
- `wide`: smooth noise that decides where open spaces hold water.

A street that has a block on one side only is narrower; there distances jump over the rest.

Fields are computed in squares of 512 m with a halo, and are the same however a scene is cut:
distances are cut off where the halo ends.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from buildext.simulate.kept import Kept
from buildext.simulate.noise import Noise

Singles = NDArray[np.float32]

_SQUARE_M = 512
_HALO_M = 80
_CLOSING_M = 7.0
FARTHEST_M = 56.0
# Streets between blocks are up to twice this wide; a block's other sides have one of this width.
OPEN_M = 22.0
_ONE_SIDED_M = 10.0
_DENSITY_M = 65
# Squares kept: 4 MB each.
_KEPT = 40


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a rectangle of cells, each `(h, w)`."""

    street_m: Singles
    wall_m: Singles
    density: Singles
    wide: Singles

    @property
    def water(self) -> NDArray[np.bool_]:
        """Where water is."""
        return is_water(self.street_m, self.wide)


def is_water(street_m: Singles, wide: Singles) -> NDArray[np.bool_]:
    """Where water is: far from any block, in the right places."""
    water: NDArray[np.bool_] = (street_m > 40.0) & (wide > 0.68)
    return water


class Plan:
    """The ground plan of a scene.

    Args:
        outlines: `(n,)` footprints in the plane (pixels).
        gsd_m: metres per pixel.
        seed: of the noise.
    """

    def __init__(self, outlines: NDArray[np.object_], gsd_m: float, seed: int) -> None:
        self._noise = Noise(seed + 3)
        # rasterio changes the process-wide warning filters while it rasterises.
        self._alone = threading.Lock()
        self._outlines = outlines
        self._tree = shapely.STRtree(outlines)
        self._cell_px = 1.0 / gsd_m
        self._kept = Kept(self._square, _KEPT)

    def read(self, row: int, col: int, height: int, width: int) -> Fields:
        """The fields of some cells; the cell (row, col) is the ground from `col` to `col + 1` m."""
        out = [np.empty((height, width), np.float32) for _ in range(4)]
        for i in range(row // _SQUARE_M, (row + height - 1) // _SQUARE_M + 1):
            for j in range(col // _SQUARE_M, (col + width - 1) // _SQUARE_M + 1):
                top, left = i * _SQUARE_M, j * _SQUARE_M
                r0, r1 = max(row, top), min(row + height, top + _SQUARE_M)
                c0, c1 = max(col, left), min(col + width, left + _SQUARE_M)
                square = self._kept(i, j)
                sources = (square.street_m, square.wall_m, square.density, square.wide)
                for target, source in zip(out, sources, strict=True):
                    target[r0 - row : r1 - row, c0 - col : c1 - col] = source[
                        r0 - top : r1 - top, c0 - left : c1 - left
                    ]
        return Fields(*out)

    def _square(self, i: int, j: int) -> Fields:
        """The fields of the square in row i and column j of squares."""
        from rasterio.features import rasterize
        from scipy import ndimage

        side = _SQUARE_M + 2 * _HALO_M
        left, top = j * _SQUARE_M - _HALO_M, i * _SQUARE_M - _HALO_M
        cell = self._cell_px
        box = shapely.box(left * cell, top * cell, (left + side) * cell, (top + side) * cell)
        near = np.sort(self._tree.query(box))
        built = np.zeros((side, side), bool)
        if len(near):
            with self._alone:
                built = rasterize(
                    _as_geojson(self._outlines[near]),
                    out_shape=(side, side),
                    transform=Affine(cell, 0, left * cell, 0, cell, top * cell),
                    dtype=np.uint8,
                ).astype(bool)
        inner = slice(_HALO_M, -_HALO_M)
        steps = np.arange(_SQUARE_M)
        wide = self._noise.at(steps + j * _SQUARE_M, steps[:, None] + i * _SQUARE_M, 150.0)
        if not built.any():
            far = np.full((_SQUARE_M, _SQUARE_M), FARTHEST_M, np.float32)
            return Fields(far, far, np.zeros_like(far), wide)
        wall = ndimage.distance_transform_edt(~built)
        # Beyond the halo nobody knows; the cut-off keeps the answer the same for every square.
        grown = wall <= _CLOSING_M
        inside = ndimage.distance_transform_edt(grown) if not grown.all() else wall * 0 + 99
        block = (inside > _CLOSING_M) | built
        street = ndimage.distance_transform_edt(~block)
        reached = street <= OPEN_M
        between = ndimage.distance_transform_edt(reached) > OPEN_M if not reached.all() else reached
        street = np.where(between | (street < _ONE_SIDED_M), street, street + OPEN_M - _ONE_SIDED_M)
        street = np.minimum(street, FARTHEST_M)
        street = ndimage.gaussian_filter(np.where(block, -1.0, street), 1.0)
        density = ndimage.uniform_filter(built.astype(np.float64), _DENSITY_M, mode="constant")
        return Fields(
            street[inner, inner].astype(np.float32),
            np.minimum(wall, FARTHEST_M)[inner, inner].astype(np.float32),
            density[inner, inner].astype(np.float32),
            wide,
        )


def _as_geojson(polygons: NDArray[np.object_]) -> list[dict[str, Any]]:
    """Polygons without parts as rasterio wants them, all at once: shapely makes each by itself."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    xy = shapely.get_coordinates(rings)
    ends = np.cumsum(shapely.get_num_coordinates(rings))[:-1]
    features: list[dict[str, Any]] = [{"type": "Polygon", "coordinates": []} for _ in polygons]
    for k, ring in zip(owner.tolist(), np.split(xy, ends), strict=True):
        features[k]["coordinates"].append(ring.tolist())
    return features
