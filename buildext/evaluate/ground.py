"""Ground: how the scored tiles were seen, from a layer of polygons.

`buildext simulate` writes `tiles.gpkg` with the angle `off_nadir_deg` of each square; a layer of
image footprints with that field, a field `scene`, or both, serves as well. A tile belongs to the
polygon in which its centre lies, the first in the file where several do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.evaluate.bins import OFF_NADIR_BINS, Range
from buildext.evaluate.matching import Index
from buildext.evaluate.tally import Tiles
from buildext.evaluate.vectors import read_names, read_vector

OFF_NADIR_FIELD = "off_nadir_deg"
SCENE_FIELD = "scene"


@dataclass(frozen=True, slots=True)
class Zones:
    """Groups of tiles.

    Attributes:
        names: of the groups.
        limits: range of each group; None for scenes.
        of_tile: `(T,)` group of each tile, -1 for none.
    """

    names: tuple[str, ...]
    limits: tuple[Range | None, ...]
    of_tile: Index


def read_zones(path: Path, tiles: Tiles) -> tuple[Zones | None, Zones | None]:
    """The tiles by off-nadir angle and by scene, each None without its field.

    Raises:
        UsageError: the layer has neither field.
        InputError: it is no layer of polygons.
    """
    file = read_vector(path, optional=(OFF_NADIR_FIELD,))
    names = read_names(path, SCENE_FIELD)
    angle = file.fields.get(OFF_NADIR_FIELD)
    if angle is None and names is None:
        raise UsageError(
            f"{path} has neither a field {OFF_NADIR_FIELD} nor a field {SCENE_FIELD}",
            hint="give the tiles.gpkg of a simulation, or image footprints with these fields",
        )
    polygons = tiles.frame.to_plane(file.geometries, file.crs)
    of_tile = _polygon_of_tile(polygons, tiles)
    by_angle = by_scene = None
    if angle is not None:
        bins = OFF_NADIR_BINS
        group = np.append(bins.assign(angle), -1)
        by_angle = Zones(bins.names, bins.ranges, group[of_tile])
    if names is not None:
        unique, number = np.unique(names, return_inverse=True)
        group = np.append(number, -1)
        by_scene = Zones(tuple(str(name) for name in unique), (None,) * len(unique), group[of_tile])
    return by_angle, by_scene


def _polygon_of_tile(polygons: NDArray[np.object_], tiles: Tiles) -> Index:
    """Index of the polygon over each tile's centre, `(T,)`; -1 without one."""
    rows, cols = np.divmod(np.arange(len(tiles)), tiles.shape[1])
    gx, gy = tiles.frame.pixel_xy_m
    x, y = (cols + 0.5) * tiles.side_px * gx, (rows + 0.5) * tiles.side_px * gy
    # The centre of what lies inside: a tile at the edge may be cut.
    width_m, height_m = tiles.frame.extent_xy_m
    x = np.where(x > width_m, (cols * tiles.side_px * gx + width_m) / 2, x)
    y = np.where(y > height_m, (rows * tiles.side_px * gy + height_m) / 2, y)
    tile, polygon = shapely.STRtree(polygons).query(shapely.points(x, y), predicate="intersects")
    found = np.full(len(tiles), len(polygons), np.intp)
    np.minimum.at(found, tile, polygon)
    return np.where(found == len(polygons), -1, found)
