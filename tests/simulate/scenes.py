"""Small made cities whose truth is known without rendering."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import shapely

from buildext.simulate.city import City, Roof
from buildext.simulate.grid import ImageGrid
from buildext.simulate.layer import Layer, write_layer
from buildext.simulate.render import Renderer, Sun
from buildext.simulate.sensor import Sensor
from buildext.simulate.texture import Textures
from buildext.simulate.view import View
from buildext.simulate.world import World

CRS = "EPSG:32633"
WEST, NORTH = 500_000.0, 5_000_000.0
GSD_M = 0.5


def city(
    polygons: list[shapely.Polygon],
    top_m: list[float],
    base_m: list[float] | None = None,
    roof: Roof = Roof.FLAT,
) -> City:
    """Tiers of one structure each; x east and y south of (WEST, NORTH), in metres."""
    placed = shapely.transform(
        np.array(polygons), lambda xy: np.column_stack([WEST + xy[:, 0], NORTH - xy[:, 1]])
    )
    count = len(polygons)
    return City(
        crs=pyproj.CRS(CRS),
        polygons=placed,
        base_m=np.zeros(count) if base_m is None else np.array(base_m, float),
        top_m=np.array(top_m, float),
        roof=np.full(count, roof, np.uint8),
        structure=np.arange(count),
        structure_id=np.arange(count),
    )


def grid(side_px: int = 512) -> ImageGrid:
    """A square image whose upper left corner is (WEST, NORTH)."""
    return ImageGrid(pyproj.CRS(CRS), WEST, NORTH, GSD_M, side_px, side_px)


def renderer(
    made: City, view: View, sun: Sun | None = None, sensor: Sensor | None = None, seed: int = 1
) -> Renderer:
    """A renderer of a made city."""
    outlines = grid().to_plane(made.polygons)
    world = World(made, outlines, GSD_M, seed)
    textures = Textures(None, GSD_M, seed)
    return Renderer(world, view, sun or Sun(), textures, sensor or Sensor(), GSD_M, seed)


def write_boxes(path: Path, heights: list[float], **fields: list[float]) -> Path:
    """Boxes of 20 x 16 m, 40 m apart, as a file with heights."""
    boxes = [
        shapely.box(WEST + 40 * k, NORTH - 16, WEST + 40 * k + 20, NORTH)
        for k in range(len(heights))
    ]
    columns = {"height_m": np.array(heights)} if heights and not fields else {}
    columns |= {name: np.array(values) for name, values in fields.items()}
    write_layer(path, Layer(pyproj.CRS(CRS), np.array(boxes), columns), "buildings", {})
    return path
