"""Tally: one walk over the frame that counts pixels tile by tile.

The frame is read in windows of whole tiles, with a halo where a count depends on what lies beside
the window; a window in which neither layer has a building costs nothing but its number of pixels.
All later scores, pooled, tile means and bootstraps, are sums over the tiles counted here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.evaluate.boundary import boundary_hits, halo_px
from buildext.evaluate.classes import NEAREST_HALO_PX, nearest_class_px
from buildext.evaluate.frame import Frame
from buildext.evaluate.layers import Layer, PolygonLayer, windows_of
from buildext.grid.window import Window
from buildext.progress import Progress

Count = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tiles:
    """The square tiles of a frame, numbered row by row; those at its far edges may be cut."""

    frame: Frame
    side_px: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return (
            math.ceil(self.frame.height / self.side_px),
            math.ceil(self.frame.width / self.side_px),
        )

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    def of_window(self, window: Window) -> NDArray[np.intp]:
        """Numbers of the tiles in a window made of whole tiles, `(rows, cols)`."""
        rows = np.arange(window.row // self.side_px, math.ceil(window.row_stop / self.side_px))
        cols = np.arange(window.col // self.side_px, math.ceil(window.col_stop / self.side_px))
        numbers: NDArray[np.intp] = rows[:, None] * self.shape[1] + cols
        return numbers

    def of_objects(self, polygons: NDArray[np.object_]) -> NDArray[np.intp]:
        """Number of the tile in which each polygon's centroid lies, `(N,)`."""
        middle = shapely.centroid(polygons)
        gx, gy = self.frame.pixel_xy_m
        rows = (shapely.get_y(middle) / gy / self.side_px).astype(np.intp)
        cols = (shapely.get_x(middle) / gx / self.side_px).astype(np.intp)
        high, wide = self.shape
        numbers: NDArray[np.intp] = np.clip(rows, 0, high - 1) * wide + np.clip(cols, 0, wide - 1)
        return numbers

    def sums(self, mask: NDArray[np.bool_]) -> Count:
        """True pixels of each tile in a window made of whole tiles, `(rows, cols)`."""
        side = self.side_px
        tops, lefts = range(0, mask.shape[0], side), range(0, mask.shape[1], side)
        counts = [
            [np.count_nonzero(mask[top : top + side, left : left + side]) for left in lefts]
            for top in tops
        ]
        return np.array(counts, np.int64)


@dataclass(frozen=True, slots=True)
class PixelTally:
    """Counts of each tile.

    Attributes:
        scored: `(T,)` pixels that count.
        pixels: `(T, 3)` true positives, false positives, false negatives.
        boundary: `(T, 6)` predicted contour, confirmed part, true contour, confirmed part,
            intersection and union of the boundary bands.
        classes: `(C, T, 5)` as `pixels`, then intersection and union of the bands, by height
            class; C = 0 without classes.
    """

    scored: Count
    pixels: Count
    boundary: Count
    classes: Count


def tally_pixels(
    pred: Layer,
    ref: Layer,
    tiles: Tiles,
    *,
    region: PolygonLayer | None,
    classes: int,
    tolerance_m: float,
    progress: Progress,
) -> PixelTally:
    """Count every pixel of a frame once.

    Args:
        pred: the prediction.
        ref: the reference; a `PolygonLayer` with its classes where `classes` > 0.
        tiles: the frame's tiles.
        region: polygons inside of which pixels count; None counts the whole frame.
        classes: number of height classes.
        tolerance_m: tolerance of the boundary score.
        progress: told of pixels done.
    """
    frame = tiles.frame
    n = len(tiles)
    tally = PixelTally(
        scored=np.zeros(n, np.int64),
        pixels=np.zeros((n, 3), np.int64),
        boundary=np.zeros((n, 6), np.int64),
        classes=np.zeros((classes, n, 5), np.int64),
    )
    halo = halo_px(tolerance_m, frame.pixel_xy_m)
    whole = Window(0, 0, frame.height, frame.width)
    progress.start("scoring pixels", whole.pixels)
    for window in windows_of(frame, tiles.side_px):
        wide = window.padded(halo).intersection(whole)
        assert wide is not None  # the window lies in the frame
        inner = window.shifted(-wide.row, -wide.col).slices
        scored = np.ones((wide.height, wide.width), np.bool_)
        if region is not None:
            scored = region.read(wide)
        numbers = tiles.of_window(window)
        tally.scored[numbers] = tiles.sums(scored[inner])
        around = None
        if classes:
            assert isinstance(ref, PolygonLayer)  # only polygons have heights
            far = window.padded(max(NEAREST_HALO_PX, halo))
            around = ref.read_classes(far)
            ref_px = (around[wide.shifted(-far.row, -far.col).slices] > 0) & scored
        else:
            ref_px = ref.read(wide) & scored
        pred_px = pred.read(wide) & scored
        if pred_px.any() or ref_px.any():
            hits = boundary_hits(pred_px, ref_px, scored, tolerance_m, frame.pixel_xy_m)
            hits = tuple(hit[inner] for hit in hits)
            for i, hit in enumerate(hits):
                tally.boundary[numbers, i] = tiles.sums(hit)
            pred_px, ref_px = pred_px[inner], ref_px[inner]
            false_px = pred_px & ~ref_px
            counted = (pred_px & ref_px, false_px, ref_px & ~pred_px)
            for i, count in enumerate(counted):
                tally.pixels[numbers, i] = tiles.sums(count)
            if around is not None:
                assert isinstance(ref, PolygonLayer)
                of = np.where(ref_px, around[window.shifted(-far.row, -far.col).slices], 0)
                if false_px.any():
                    of[false_px] = 1 + nearest_class_px(ref, window, false_px, around, far)
                for c in range(classes):
                    mine = of == c + 1
                    if mine.any():
                        for k, kind in enumerate((*counted, *hits[4:])):
                            tally.classes[c][numbers, k] = tiles.sums(kind & mine)
        progress.advance(window.pixels)
    progress.finish()
    return tally
