"""Tiles cut from scenes: one affine warp from an image pyramid.

Rotation by any angle, flip and change of resolution are one warp, so the pixels are interpolated
once. The pyramid (each level the 2x2 mean of the one before) keeps the warp from aliasing when the
resolution falls by more than 2. Tile number `i` depends on the seed and on `i` alone: workers,
resuming and batch order cannot change it.

Rotations and flips teach that north does not matter. In off-nadir images it does: all buildings of
a scene lean the same way, and the winners of SpaceNet 4 left rotations and flips out. `rotate` and
`flip` switch them off; everything else about a tile stays as it was.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.grid.window import Window
from buildext.learn.training.config import SamplingSection
from buildext.learn.training.data.scenes import FILL_RGB, LabelledScene, Tile
from buildext.learn.training.tiles.centres import CELL_PX, HeightClasses, known_cells
from buildext.learn.training.tiles.errors import ErrorMap
from buildext.learn.training.tiles.paste import paste_buildings

log = logging.getLogger(__name__)

# Drawn tiles with less than this share of usable pixels are drawn anew, a few times.
MIN_USABLE = 0.4
MAX_DRAWS = 5
# A tile may be wider than its scene by this factor, the rest is fill.
MAX_OVERHANG = 1.4


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a tile lies in its scene.

    Attributes:
        centre_xy: the tile's centre in scene pixels (corner convention: the first pixel spans
            0 to 1).
        angle_rad: rotation of the tile's axes against the scene's.
        flip: whether the tile's x axis is mirrored.
        gsd_m: metres per tile pixel.
    """

    centre_xy: tuple[float, float]
    angle_rad: float
    flip: bool
    gsd_m: float


class Pyramid:
    """A scene and its images at half, quarter ... the resolution."""

    def __init__(self, scene: LabelledScene) -> None:
        self.scene = scene
        self._levels = [scene.image]
        while min(self._levels[-1].shape[:2]) >= 64 and len(self._levels) < 5:
            above = self._levels[-1]
            # An even size, so that level n has its pixels exactly at 2**n times the pitch.
            height, width = above.shape[0] // 2, above.shape[1] // 2
            half = cv2.resize(
                above[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA
            )
            self._levels.append(np.asarray(half, np.uint8))

    def cut(self, placement: Placement, tile_px: int) -> Tile:
        """The tile at `placement`, `(tile_px, tile_px)`; outside the scene it is fill."""
        scene = self.scene
        scale = placement.gsd_m / scene.gsd_m
        cos, sin = math.cos(placement.angle_rad), math.sin(placement.angle_rad)
        turn = scale * np.array([[cos, -sin], [sin, cos]])
        if placement.flip:
            turn[:, 0] *= -1
        # scene_xy = turn @ (tile_xy - tile_px / 2) + centre, with pixel centres at i + 0.5.
        origin = np.array(placement.centre_xy) + turn @ np.full(2, 0.5 - tile_px / 2)
        level = max(0, min(int(math.log2(max(scale, 1.0))), len(self._levels) - 1))
        matrix = np.column_stack([turn, origin]) / 2**level
        matrix[:, 2] -= 0.5
        image = cv2.warpAffine(
            self._levels[level],
            matrix,
            (tile_px, tile_px),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=FILL_RGB,
        )
        index = np.arange(tile_px)
        xs = np.floor(turn[0, 0] * index[None, :] + turn[0, 1] * index[:, None] + origin[0])
        ys = np.floor(turn[1, 0] * index[None, :] + turn[1, 1] * index[:, None] + origin[1])
        height, width = scene.labels.shape
        inside = (xs >= 0) & (ys >= 0) & (xs < width) & (ys < height)
        # Places outside look at the first pixel; what they find there does not count.
        place = np.where(inside, ys * width + xs, 0).astype(np.intp)
        valid = inside & scene.valid.ravel()[place]
        weight = valid & scene.known.ravel()[place]
        labels = np.where(valid, scene.labels.ravel()[place], np.int32(0))
        pixels = np.asarray(image, np.uint8)
        pixels[~valid] = FILL_RGB
        offset_m = None
        if scene.offsets_m is not None:
            # A step is a vector: it turns with the tile, and keeps its length in metres.
            along_tile = scene.offsets_m @ (turn / scale).astype(np.float32)
            number = labels
            if scene.roof_parts is not None:
                # Parts are whole roofs, also where something hides them: labels say where.
                number = np.where(labels > 0, scene.roof_parts.ravel()[place], 0)
            offset_m = np.ascontiguousarray(np.moveaxis(along_tile[number], -1, 0))
        return Tile(pixels, labels, weight, valid, scene.instances, placement.gsd_m, offset_m)


class TileSampler:
    """Endless random tiles from a set of scenes.

    Datasets are drawn by weight (1 where the config names none) and their scenes by area. A share
    of `rare_heights` is drawn at buildings instead, each height class as often as the others; a
    share of `hard_tiles` of the others where a network errs.

    Args:
        scenes: to draw from.
        options: how.
        seed: of the run.
        errors: by the names of scenes; empty as long as nobody has looked.

    Raises:
        UsageError: a weight names no dataset, or no dataset is left with a weight above 0.
    """

    def __init__(
        self,
        scenes: list[LabelledScene],
        options: SamplingSection,
        seed: int,
        errors: Mapping[str, ErrorMap] | None = None,
    ) -> None:
        names = {scene.dataset for scene in scenes}
        for name in options.weights:
            if name not in names:
                raise UsageError(
                    f"sampling.weights names {name!r}; the datasets are {', '.join(sorted(names))}",
                    hint="add its card to `datasets` or drop the weight",
                )
        self._options = options
        self._seed = seed
        weights = options.weights
        usable = [s for s in scenes if weights.get(s.dataset, 1.0) > 0 and s.counted.any()]
        if not usable:
            raise UsageError(
                "no scene is left to train on",
                hint="hold out less, or give at least one dataset a weight above 0",
            )
        self._pyramids = [Pyramid(scene) for scene in usable]
        area = np.array([np.count_nonzero(s.counted) * s.gsd_m**2 for s in usable])
        share = np.zeros(len(usable))
        for dataset in sorted({s.dataset for s in usable}):
            own = np.array([s.dataset == dataset for s in usable])
            share[own] = weights.get(dataset, 1.0) * area[own] / area[own].sum()
        self._share: NDArray[np.float64] = share / share.sum()
        self._cells = [known_cells(scene) for scene in usable]
        self._errors = errors or {}
        self._heights: HeightClasses | None = None
        if options.rare_heights > 0:
            self._heights = HeightClasses(usable, options.height_limits_m)
            if not self._heights:
                log.warning("sampling.rare_heights has no effect: no scene has building heights")

    def sample(self, index: int) -> Tile:
        """Tile number `index`."""
        rng = np.random.default_rng([self._seed, 1, index])
        for _ in range(MAX_DRAWS):
            scene, placement = self._draw(rng)
            tile = self._pyramids[scene].cut(placement, self._options.tile_px)
            if tile.weight.mean() < MIN_USABLE:
                continue
            if (tile.labels[tile.weight] > 0).any() or rng.random() < self._options.empty_tiles:
                break
        if self._options.paste and rng.random() < self._options.paste:
            tile = self._with_pasted(tile, rng)
        return tile

    def _with_pasted(self, tile: Tile, rng: np.random.Generator) -> Tile:
        """The tile with buildings of another, unless that one would have to be magnified."""
        number, placement = self._draw(rng)
        scene = self._pyramids[number].scene
        if scene.gsd_m / self._options.max_upsampling > tile.gsd_m:
            return tile
        there = replace(placement, gsd_m=tile.gsd_m)
        donor = self._pyramids[number].cut(there, self._options.tile_px)
        return paste_buildings(tile, donor, rng)

    def _draw(self, rng: np.random.Generator) -> tuple[int, Placement]:
        """The number of a scene and a place in it."""
        # Nothing is drawn for what is switched off, so that older configs keep their tiles.
        if self._heights and rng.random() < self._options.rare_heights:
            number, middle_xy = self._heights.draw(rng)
            scene = self._pyramids[number].scene
            placement = self._place(scene, rng)
            # Up to a quarter of a tile off along the scene's axes: not always in the centre.
            reach_px = self._options.tile_px / 4 * placement.gsd_m / scene.gsd_m
            x, y = np.array(middle_xy) + rng.uniform(-reach_px, reach_px, 2)
            return number, replace(placement, centre_xy=(float(x), float(y)))
        number = int(rng.choice(len(self._pyramids), p=self._share))
        scene = self._pyramids[number].scene
        placement = self._place(scene, rng)
        if scene.name in self._errors and rng.random() < self._options.hard_tiles:
            hard_xy = self._errors[scene.name].draw(rng)
            if hard_xy is not None:
                return number, replace(placement, centre_xy=hard_xy)
        cells = self._cells[number]
        if cells is not None:
            x, y = cells[int(rng.integers(len(cells)))] + rng.uniform(0, CELL_PX, 2)
            placement = replace(placement, centre_xy=(float(x), float(y)))
        return number, placement

    def _place(self, scene: LabelledScene, rng: np.random.Generator) -> Placement:
        height, width = scene.labels.shape
        finest, coarsest = self._options.gsd_m
        reach_m = MAX_OVERHANG * min(height, width) * scene.gsd_m
        low = max(finest, scene.gsd_m / self._options.max_upsampling)
        high = max(low, min(coarsest, reach_m / self._options.tile_px))
        centre_xy = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
        # Drawn also where they are not used: the resolution is then the same with and without.
        angle_rad, flip = float(rng.uniform(0, 2 * math.pi)), bool(rng.random() < 0.5)
        return Placement(
            centre_xy=centre_xy,
            angle_rad=angle_rad if self._options.rotate else 0.0,
            flip=flip and self._options.flip,
            gsd_m=float(math.exp(rng.uniform(math.log(low), math.log(high)))),
        )


def monitor_tiles(
    scene: LabelledScene, blocks: list[Window], options: SamplingSection
) -> list[Tile]:
    """One upright tile around each held-out block, scored inside the block only."""
    pyramid = Pyramid(scene)
    tiles = []
    for block in blocks:
        fits_m = max(block.height, block.width) * scene.gsd_m / options.tile_px
        gsd_m = max(fits_m, options.gsd_m[0], scene.gsd_m / options.max_upsampling)
        centre = (block.col + block.width / 2, block.row + block.height / 2)
        tile = pyramid.cut(Placement(centre, 0.0, False, gsd_m), options.tile_px)
        half_x = block.width * scene.gsd_m / gsd_m / 2
        half_y = block.height * scene.gsd_m / gsd_m / 2
        offset = np.abs(np.arange(options.tile_px) + 0.5 - options.tile_px / 2)
        inside = (offset[:, None] < half_y) & (offset[None, :] < half_x)
        tiles.append(replace(tile, weight=tile.weight & inside))
    return tiles
