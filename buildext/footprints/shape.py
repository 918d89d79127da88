"""Shape: from pixel staircases to outlines that a cartographer would accept.

`shape_group` takes a group of touching buildings and returns each of them in the form that was
asked for, in the same order, in the same plane (pixels, x = column, y = row). It never drops a
building. How far it got is said by `reg_status`:

- `regularised`: every wall was drawn by `regularize`, or the outline is a circle;
- `simplified`: at least part of the outline is only simplified, because walls drawn there would
  have left the tolerance, crossed one another or covered a neighbour;
- `kept`: the pixels' own outline.

The result depends neither on the order of the members nor on where in the scene the group lies:
all work is done in coordinates relative to the group's own corner, and the results are rounded to
2⁻¹⁶ pixel, which adding the corner back leaves exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from buildext.footprints.raw import RawBuilding, RawGroup
from buildext.footprints.regularize import Chain, RegularMode, draw, prepare
from buildext.footprints.simplify import simplify_topology
from buildext.footprints.topology import Topology, cut_into_arcs

ShapeMode = Literal["none", "simplify", "right-angles", "right-angles-and-diagonals", "any-angle"]
RegStatus = Literal["regularised", "simplified", "kept"]

# Below two pixels the tolerance would follow the noise of the mask itself.
_LEAST_TOLERANCE_PX = 2.0
_ROUNDING = 2.0**16
# Attempts at leaving out the arcs that went wrong, before a group is simplified as a whole.
_ATTEMPTS = 5
# The tolerance of the second attempt, as a share of the first.
_CLOSER = 0.5
# A corner between two walls that moved by the tolerance each has moved by √2 of it.
_CORNER_REACH = 2**0.5
# A building may differ from its pixels by this share of its area at most.
_LARGEST_CHANGE = 0.35


@dataclass(frozen=True, slots=True)
class ShapeOptions:
    """How outlines are to be shaped.

    Attributes:
        mode: `none` keeps the pixels, `simplify` only removes vertices, the others regularise.
        tolerance_m: how far a boundary may move, in metres; two pixels at least.
    """

    mode: ShapeMode = "right-angles"
    tolerance_m: float = 0.6

    def tolerance_px(self, gsd_m: float) -> float:
        """The tolerance in pixels of `gsd_m` metres."""
        return max(self.tolerance_m / gsd_m, _LEAST_TOLERANCE_PX)


@dataclass(frozen=True, slots=True)
class ShapedBuilding:
    """A building with its final outline, still in the grid plane.

    Attributes:
        polygon: the outline, in pixels.
        raw: what it was made from.
        reg_status: how far the shaping got.
    """

    polygon: Polygon
    raw: RawBuilding
    reg_status: RegStatus


def shape_group(group: RawGroup, options: ShapeOptions, gsd_m: float) -> list[ShapedBuilding]:
    """Shape a group of touching buildings; walls that two of them share stay shared.

    Args:
        group: the buildings, in grid-plane pixels.
        options: what is asked for.
        gsd_m: metres per pixel.
    """
    if options.mode == "none" or not group:
        return [ShapedBuilding(raw.polygon, raw, "kept") for raw in group]
    polygons = np.array([raw.polygon for raw in group])
    bounds = shapely.bounds(polygons)
    origin = bounds[:, :2].min(axis=0)
    order = np.lexsort(bounds.T)
    local = list(shapely.transform(polygons[order], lambda xy: xy - origin))
    shaped, statuses = _shape(local, options, options.tolerance_px(gsd_m))
    placed = shapely.transform(np.array(shaped), lambda xy: xy + origin)
    result: list[ShapedBuilding | None] = [None] * len(group)
    for place, polygon, status in zip(order.tolist(), placed, statuses, strict=True):
        result[place] = ShapedBuilding(polygon, group[place], status)
    return [building for building in result if building is not None]


def _shape(
    polygons: Sequence[Polygon], options: ShapeOptions, tolerance_px: float
) -> tuple[list[Polygon], list[RegStatus]]:
    topology = cut_into_arcs(polygons)
    if options.mode != "none" and options.mode != "simplify":
        regular = _regularise(topology, polygons, options.mode, tolerance_px)
        if regular is not None:
            return regular
    return _simplify(topology, polygons, tolerance_px)


def _simplify(
    topology: Topology, polygons: Sequence[Polygon], tolerance_px: float
) -> tuple[list[Polygon], list[RegStatus]]:
    simple = [
        shapely.transform(polygon, _rounded)
        for polygon in simplify_topology(topology, tolerance_px)
    ]
    if wrong_members(polygons, simple, tolerance_px + 1).any():
        return list(polygons), ["kept"] * len(polygons)
    return simple, ["simplified"] * len(polygons)


def _regularise(
    topology: Topology, polygons: Sequence[Polygon], mode: RegularMode, tolerance_px: float
) -> tuple[list[Polygon], list[RegStatus]] | None:
    """Regularised outlines with their status; None where no attempt gave valid outlines."""
    chains = prepare(topology, mode, tolerance_px)
    tried = np.zeros(len(polygons), dtype=np.int64)
    for _ in range(_ATTEMPTS):
        lines = [_rounded(line) for line in draw(topology, chains, tolerance_px)]
        outlines = [topology.outline(member, lines) for member in range(len(polygons))]
        wrong = wrong_members(polygons, outlines, tolerance_px)
        if not wrong.any():
            break
        tried[wrong] += 1
        chains = [
            _retried(chain, max(int(tried[owner]) for owner in arc.owners), mode, tolerance_px)
            if wrong[list(arc.owners)].any()
            else chain
            for arc, chain in zip(topology.arcs, chains, strict=True)
        ]
    else:
        return None
    statuses: list[RegStatus] = [
        "regularised"
        if all(chains[arc].walls for ring in rings for arc, _ in ring)
        else "simplified"
        for rings in topology.rings
    ]
    return outlines, statuses


def _retried(chain: Chain, tried: int, mode: RegularMode, tolerance_px: float) -> Chain:
    """A chain of an outline that went wrong: closer to the pixels, then without walls."""
    if tried == 1:
        return chain.divided(mode, _CLOSER * tolerance_px)
    return replace(chain, walls=())


def wrong_members(
    raw: Sequence[Polygon], shaped: Sequence[Polygon], tolerance_px: float
) -> NDArray[np.bool_]:
    """Which shaped outlines are invalid, moved too far, changed too much or overlap another."""
    before, after = np.asarray(raw), np.asarray(shaped)
    wrong: NDArray[np.bool_] = ~shapely.is_valid(after)
    fine = ~wrong
    wrong[fine] |= shapely.hausdorff_distance(before[fine], after[fine]) > _CORNER_REACH * tolerance_px
    fine = ~wrong
    change = shapely.area(shapely.symmetric_difference(before[fine], after[fine]))
    wrong[fine] |= change > _LARGEST_CHANGE * shapely.area(before[fine])
    if len(raw) > 1:
        wrong |= ~shapely.is_empty(shapely.coverage_invalid_edges(after))
    return wrong


def _rounded(points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.round(points_xy * _ROUNDING) / _ROUNDING
    return rounded
