"""Alignments: for each label how far it is to be moved, and how sure that is.

Everything happens in the pixel plane of a probability raster: x counts columns, y rows downwards,
integers are corners of pixels.

| status | the label | shift |
|---|---|---|
| `moved` | is moved to its roof | sub-pixel, at most `max_shift_m` |
| `kept` | keeps its place: nobody knows a better one for sure | 0 |
| `missing` | keeps its place: no building where it and its neighbours point to | 0 |
| `unseen` | keeps its place: no valid pixel within reach | 0 |

The confidence is the probability that the best shift lies within `near_m` of the true one: the
part of the belief (see `support.py`) that does, with its odds lowered by a factor that was fitted
on labels with known displacement. It is that for `kept` labels too; for `missing` and
`unseen` ones it is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.align.options import AlignOptions
from buildext.align.score import Surface, coarser, evidence, surface
from buildext.align.support import Belief, believe, influence_m
from buildext.errors import LabelError
from buildext.grid.window import Window

MOVED, KEPT, MISSING, UNSEEN = "moved", "kept", "missing", "unseen"

Read = Callable[[Window], tuple[NDArray[np.generic], NDArray[np.bool_]]]
"""Probability (bytes, or floats 0 to 1) and validity `(h, w)` of any window inside a raster."""

Polygons = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Alignment:
    """What becomes of a label.

    Attributes:
        shift_xy_px: step to the right and down in pixels.
        confidence: probability that the best shift is right within `near_m`.
        status: `moved`, `kept`, `missing` or `unseen`.
    """

    shift_xy_px: tuple[float, float]
    confidence: float
    status: str


def align_shapes(
    probability: NDArray[np.generic],
    valid: NDArray[np.bool_],
    shapes: Sequence[shapely.Geometry] | Polygons,
    gsd_m: float,
    options: AlignOptions | None = None,
) -> list[Alignment]:
    """Find the shift of each label.

    Args:
        probability: `(H, W)` building probability: uint8, or floats from 0 to 1.
        valid: `(H, W)` pixels of which something is known.
        shapes: polygons and multipolygons in pixels (x column, y row).
        gsd_m: metres per pixel.
        options: see `AlignOptions`.

    Returns:
        One alignment for each shape, in their order.

    Raises:
        LabelError: a shape is no polygon, or empty.
    """
    return align_windows(
        lambda window: (probability[window.slices], valid[window.slices]),
        (int(valid.shape[0]), int(valid.shape[1])),
        shapes,
        gsd_m,
        options,
    )


def align_windows(
    read: Read,
    shape_hw: tuple[int, int],
    shapes: Sequence[shapely.Geometry] | Polygons,
    gsd_m: float,
    options: AlignOptions | None = None,
    *,
    window_m: float = 400.0,
    advance: Callable[[int], None] | None = None,
) -> list[Alignment]:
    """Find the shift of each label, with one part of the raster in memory at a time.

    Args:
        read: gives any window inside the raster.
        shape_hw: height and width of the raster.
        shapes, gsd_m, options: see `align_shapes`.
        window_m: side of a part; it bounds memory and does not change the result.
        advance: is told how many labels are done each time.

    Raises:
        LabelError: a shape is no polygon, or empty.
    """
    options = options or AlignOptions()
    polygons = np.empty(len(shapes), object)
    polygons[:] = list(shapes)
    _check(polygons)
    results: list[Alignment | None] = [None] * len(polygons)
    tree = shapely.STRtree(polygons)
    middles_m = _middles(polygons) * gsd_m
    for wanted, needed in _parts(middles_m, window_m, influence_m(options)):
        found = _align_part(read, shape_hw, polygons, needed, tree, middles_m, gsd_m, options)
        for i in wanted:
            results[i] = found[i]
        if advance is not None:
            advance(len(wanted))
    return [result for result in results if result is not None]


def _parts(
    middles_m: NDArray[np.float64], side_m: float, halo_m: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Labels of each square of ground, and with them those that have an influence on them."""
    cells = np.floor(middles_m / side_m).astype(np.int64)
    for col, row in np.unique(cells, axis=0):
        low = np.array([col, row]) * side_m
        inside = np.flatnonzero((cells == (col, row)).all(axis=1))
        near = ((middles_m >= low - halo_m) & (middles_m <= low + side_m + halo_m)).all(axis=1)
        yield inside, np.flatnonzero(near)


def _align_part(
    read: Read,
    shape_hw: tuple[int, int],
    polygons: Polygons,
    chosen: NDArray[np.intp],
    tree: shapely.STRtree,
    middles_m: NDArray[np.float64],
    gsd_m: float,
    options: AlignOptions,
) -> dict[int, Alignment]:
    # Whole pixels of the raster make one of the plane on which shifts are tried.
    factor = max(1, round(options.step_m / gsd_m))
    step_m = factor * gsd_m
    steps = math.ceil(options.max_shift_m / step_m)
    rings_px = options.ring_share * np.sqrt(shapely.area(polygons[chosen]))
    margin_px = factor * (steps + 1) + math.ceil(float(rings_px.max()))
    window = _window_around(polygons[chosen], factor, margin_px)
    window_inside = window.intersection(Window(0, 0, *shape_hw))
    if window_inside is None:
        return {int(i): Alignment((0.0, 0.0), 0.0, UNSEEN) for i in chosen}
    probability, valid = read(window_inside)
    there = window_inside.shifted(-window.row, -window.col).slices
    signed = np.zeros((window.height, window.width), np.float32)
    known = np.zeros((window.height, window.width), np.bool_)
    signed[there], known[there] = evidence(probability, valid), valid
    signed, known = coarser(signed, known, factor)

    def on_plane(some: Polygons) -> Polygons:
        moved: Polygons = shapely.transform(
            some, lambda xy: (xy - (window.col, window.row)) / factor
        )
        return moved

    surfaces: list[Surface] = []
    for i, ring_px in zip(chosen, rings_px, strict=True):
        others = tree.query(shapely.buffer(polygons[i], ring_px))
        here = on_plane(polygons[np.concatenate([[i], np.sort(others[others != i])])])
        surfaces.append(surface(signed, known, here[0], here[1:], ring_px / factor, steps))
    offsets_m = np.arange(-steps, steps + 1) * step_m
    short = np.hypot(offsets_m[:, None], offsets_m[None, :]) <= options.max_shift_m
    area_m2 = shapely.area(polygons[chosen]).astype(np.float32) * np.float32(gsd_m**2)
    strength = options.certainty * np.sqrt(area_m2 / 100)
    log_fit = np.stack([one.score for one in surfaces]) * strength[:, None, None]
    belief = believe(log_fit.astype(np.float32), short, middles_m[chosen], step_m, options)
    return {
        int(i): _decide(surfaces[k], belief, k, short, factor, step_m, options)
        for k, i in enumerate(chosen)
    }


def _decide(
    seen: Surface,
    belief: Belief,
    k: int,
    short: NDArray[np.bool_],
    factor: int,
    step_m: float,
    options: AlignOptions,
) -> Alignment:
    if seen.known == 0:
        return Alignment((0.0, 0.0), 0.0, UNSEEN)
    prior = np.where(short, belief.log_prior[k], -np.inf)
    allowed = prior >= prior.max() - options.allowed
    if (1 + seen.inside[allowed].max()) / 2 < options.missing_below:
        return Alignment((0.0, 0.0), 0.0, MISSING)
    probability = belief.probability[k]
    row, col = np.unravel_index(int(np.argmax(probability)), probability.shape)
    y, x = _refined(probability, int(row), int(col))
    rows, cols = np.indices(probability.shape)
    near = np.hypot(rows - y, cols - x) * step_m <= options.near_m
    confidence = _doubted(min(1.0, float(probability[near].sum())), options.doubt)
    if confidence < options.sure:
        return Alignment((0.0, 0.0), confidence, KEPT)
    steps = probability.shape[0] // 2
    return Alignment(((x - steps) * factor, (y - steps) * factor), confidence, MOVED)


def _doubted(probability: float, doubt: float) -> float:
    """A probability whose odds are multiplied by `doubt`."""
    return doubt * probability / (doubt * probability + 1 - probability)


def _refined(probability: NDArray[np.float32], row: int, col: int) -> tuple[float, float]:
    """Row and column of a peak between the grid's nodes: the mean of the belief around it."""
    rows, cols = slice(max(row - 2, 0), row + 3), slice(max(col - 2, 0), col + 3)
    weight = probability[rows, cols].astype(np.float64)
    y, x = np.indices(weight.shape)
    total = weight.sum()
    return rows.start + float((weight * y).sum() / total), cols.start + float(
        (weight * x).sum() / total
    )


def _window_around(polygons: Polygons, factor: int, margin_px: int) -> Window:
    """The window of whole squares of `factor` pixels that holds polygons and a margin."""
    west, north, east, south = shapely.total_bounds(polygons)
    row, col = (math.floor((low - margin_px) / factor) * factor for low in (north, west))
    row_stop, col_stop = (math.ceil((high + margin_px) / factor) * factor for high in (south, east))
    return Window(row, col, row_stop - row, col_stop - col)


def _middles(polygons: Polygons) -> NDArray[np.float64]:
    middles: NDArray[np.float64] = shapely.get_coordinates(shapely.centroid(polygons)).reshape(
        -1, 2
    )
    return middles


def _check(polygons: Polygons) -> None:
    kinds = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
    wrong = np.flatnonzero(
        ~np.isin(shapely.get_type_id(polygons), kinds) | shapely.is_empty(polygons)
    )
    if len(wrong):
        got = polygons[wrong[0]]
        raise LabelError(
            f"got {getattr(got, 'geom_type', got)} in row {wrong[0]} ({len(wrong)} such rows); "
            "expected polygons and multipolygons that are not empty",
            hint="choose a layer of building polygons and drop empty rows",
        )
