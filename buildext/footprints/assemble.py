"""Assembly: probability blocks in, closed groups of touching buildings out.

    blocks → frontier (decides pixels) → components (decide buildings) → corners → polygons

One building is one polygon whatever the blocks: their number, size and order of columns change
neither a polygon nor a group (only when a group is handed out).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from buildext.footprints.components import Buildings, Components
from buildext.footprints.frontier import Frontier
from buildext.footprints.polygonize import trace_polygons
from buildext.footprints.raw import Block, RawBuilding, RawGroup
from buildext.footprints.separate import SeparationOptions, linked


def assemble(
    blocks: Iterable[Block], scene_hw: tuple[int, int], options: SeparationOptions
) -> Iterator[RawGroup]:
    """Turn probability blocks into groups of touching buildings.

    Args:
        blocks: Blocks that cover the scene without gaps, in row-major order; the blocks of one
            block row share their rows.
        scene_hw: Height and width of the scene in pixels.
        options: Thresholds and sizes.

    Yields:
        Groups, each once the block row that closes it is through, and those closed by one block row
        in the order of (min y, min x). Buildings below the minimum area are taken out of a group
        when it is closed; what touched through them alone comes out as groups of its own.

    Raises:
        ValueError: The blocks do not cover the scene in the order above, or lack a channel.
    """
    components = Components()
    frontier = Frontier(scene_hw, options, components)
    for block in blocks:
        if frontier.take(block):
            closed, number = components.settle(frontier.open_components())
            frontier.renumber(number)
            yield from _groups(closed, options)
    if frontier.rows_done != scene_hw[0]:
        raise ValueError(f"got blocks down to row {frontier.rows_done}; expected {scene_hw[0]}")


def _groups(closed: Buildings, options: SeparationOptions) -> list[RawGroup]:
    """Drop what is too small, trace the rest, put touching buildings together."""
    closed = closed.taken(closed.core >= max(1, options.min_area_px))
    count = closed.pixels.size
    if not count:
        return []
    polygons = trace_polygons(closed.corners, count, options.filled_hole_px)
    confidence = closed.total / (255.0 * closed.pixels)
    buildings = [
        RawBuilding(*values)
        for values in zip(
            polygons.tolist(),
            confidence.tolist(),
            closed.pixels.tolist(),
            closed.edge.tolist(),
            strict=True,
        )
    ]
    start_x = shapely.get_x(shapely.get_point(shapely.get_exterior_ring(polygons), 0))
    min_x, min_y, _, _ = shapely.bounds(polygons).T
    _, group = linked(count, closed.touches)
    groups: dict[int, list[RawBuilding]] = {}
    for index in np.lexsort((start_x, min_x, min_y)).tolist():
        groups.setdefault(int(group[index]), []).append(buildings[index])
    return [tuple(members) for members in groups.values()]
