"""Rasters of probability, cut into blocks, and a slow way to the same buildings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import shapely
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from buildext.footprints.assemble import assemble
from buildext.footprints.raw import Block, RawGroup
from buildext.footprints.separate import SeparationOptions
from buildext.grid.window import Window

Summary = tuple[bytes, float, int, bool]


def cut(
    probability: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    rows: Sequence[int],
    cols: Sequence[Sequence[int]],
) -> Iterator[Block]:
    """Blocks between inner cuts; `cols` holds the cuts of one block row after the other, cyclic."""
    height, width = valid.shape
    row_lines = [0, *rows, height]
    for index, (top, bottom) in enumerate(pairwise(row_lines)):
        col_lines = [0, *cols[index % len(cols)], width]
        for left, right in pairwise(col_lines):
            window = Window(top, left, bottom - top, right - left)
            yield Block(window, probability[:, *window.slices], valid[window.slices])


def assembled(
    probability: NDArray[np.uint8],
    options: SeparationOptions,
    valid: NDArray[np.bool_] | None = None,
    rows: Sequence[int] = (),
    cols: Sequence[Sequence[int]] = ((),),
) -> list[RawGroup]:
    """Everything that `assemble` makes of a raster cut into blocks."""
    if valid is None:
        valid = np.ones(probability.shape[1:], np.bool_)
    return list(assemble(cut(probability, valid, rows, cols), valid.shape, options))


def summary(groups: Sequence[RawGroup]) -> list[tuple[Summary, ...]]:
    """All that is told of the groups, without the order in which they came."""
    return sorted(
        tuple((b.polygon.wkb, b.confidence, b.pixels, b.touches_edge) for b in group)
        for group in groups
    )


def labelled_slowly(
    probability: NDArray[np.uint8], valid: NDArray[np.bool_], options: SeparationOptions
) -> NDArray[np.int64]:
    """Buildings by the definition, on the whole raster, pixel by pixel."""
    height, width = valid.shape
    building = valid & (probability[0] >= options.threshold_u8)
    core = building & (probability[0] >= (options.core_threshold_u8 or 0))
    interior = core.copy()
    if options.contact_threshold_u8 is not None:
        interior &= probability[1] < options.contact_threshold_u8
    labels = ndimage.label(interior)[0].astype(np.int64)
    reached = deque(zip(*np.nonzero(interior), strict=True))
    steps = np.where(interior, 0, -1)
    while reached:
        row, col = reached.popleft()
        for y, x in ((row - 1, col), (row, col - 1), (row, col + 1), (row + 1, col)):
            if 0 <= y < height and 0 <= x < width and building[y, x] and steps[y, x] < 0:
                steps[y, x] = steps[row, col] + 1
                reached.append((y, x))
    for step in range(1, options.grow_px + 1):
        for row, col in zip(*np.nonzero(steps == step), strict=True):
            for y, x in ((row - 1, col), (row, col - 1), (row, col + 1), (row + 1, col)):
                if 0 <= y < height and 0 <= x < width and steps[y, x] == step - 1:
                    labels[row, col] = labels[y, x]
                    break
    left = core & (labels == 0)
    return np.where(left, ndimage.label(left)[0] + labels.max(), labels)


def summarised_slowly(
    probability: NDArray[np.uint8], valid: NDArray[np.bool_], options: SeparationOptions
) -> list[tuple[Summary, ...]]:
    """What `summary` should say, with polygons united by GEOS from single pixels."""
    labels = labelled_slowly(probability, valid, options)
    framed = np.pad(labels, 1)
    beyond = np.pad(~valid, 1, constant_values=True)
    least = max(1, options.min_area_px)
    core = probability[0] >= options.core_u8
    found: dict[int, Summary] = {}
    for label in range(1, int(labels.max()) + 1):
        rows, cols = np.nonzero(labels == label)
        if core[rows, cols].sum() < least:
            continue
        polygon = shapely.union_all(shapely.box(cols, rows, cols + 1, rows + 1))
        assert isinstance(polygon, shapely.Polygon)
        holes = [
            ring
            for ring in polygon.interiors
            if shapely.Polygon(ring).area >= min(options.min_hole_px, options.min_area_px)
        ]
        polygon = shapely.Polygon(polygon.exterior, holes).simplify(0).normalize()
        edge = any(
            beyond[y + 1, x + 1]
            for row, col in zip(rows, cols, strict=True)
            for y, x in ((row - 1, col), (row, col - 1), (row, col + 1), (row + 1, col))
        )
        confidence = probability[0][rows, cols].sum(dtype=np.int64) / (255.0 * rows.size)
        found[label] = (polygon.wkb, float(confidence), rows.size, edge)
    groups = {label: {label} for label in found}
    for one, other in (
        *zip(framed[:-1].flat, framed[1:].flat, strict=True),
        *zip(framed[:, :-1].flat, framed[:, 1:].flat, strict=True),
    ):
        if one in found and other in found and groups[one] is not groups[other]:
            groups[one] |= groups[other]
            for member in groups[one]:
                groups[member] = groups[one]
    distinct = {min(members): members for members in groups.values()}
    return sorted(tuple(sorted(found[m] for m in members)) for members in distinct.values())


def normalised(groups: Sequence[RawGroup]) -> list[tuple[Summary, ...]]:
    """As `summary`, with rings started where GEOS starts them, so that it compares with GEOS."""
    return sorted(
        tuple(
            sorted(
                (b.polygon.normalize().wkb, b.confidence, b.pixels, b.touches_edge) for b in group
            )
        )
        for group in groups
    )


@st.composite
def fields(draw: st.DrawFn, most: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Probabilities `(2, H, W)` with blobs, noise and seams, and a valid mask with gaps."""
    height = draw(st.integers(1, most))
    width = draw(st.integers(1, most))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    blob = ndimage.gaussian_filter(
        random.standard_normal((height, width)), draw(st.sampled_from([0.0, 0.7, 1.5, 4.0]))
    )
    blob = blob / max(float(blob.std()), 1e-9) * 60 + draw(
        st.sampled_from([60, 110, 128, 170, 250])
    )
    blob += random.standard_normal(blob.shape) * draw(st.sampled_from([0, 10, 40]))
    seam = ndimage.gaussian_filter(
        random.standard_normal((height, width)), draw(st.sampled_from([0.0, 1.0, 3.0]))
    )
    seam = 255 - np.abs(seam) / max(float(seam.std()), 1e-9) * draw(st.sampled_from([60, 200, 800]))
    valid = np.ones((height, width), np.bool_)
    if draw(st.booleans()):
        valid = ndimage.gaussian_filter(random.standard_normal((height, width)), 2) > -0.15
    probability = np.stack([blob, seam]).clip(0, 255).round().astype(np.uint8)
    probability[:, ~valid] = 0
    return probability, valid


@st.composite
def cuts(draw: st.DrawFn, size: int) -> list[int]:
    """Inner cut lines, from none to one at every pixel."""
    if size < 2:
        return []
    if size <= 16 and draw(st.booleans()):
        return list(range(1, size))
    return sorted(draw(st.sets(st.integers(1, size - 1), max_size=5)))


@st.composite
def separations(draw: st.DrawFn) -> SeparationOptions:
    """Options of all kinds."""
    threshold_u8 = draw(st.sampled_from([1, 100, 128, 200]))
    above = draw(st.sampled_from([None, 0, 20, 55]))
    return SeparationOptions(
        threshold_u8=threshold_u8,
        contact_threshold_u8=draw(st.sampled_from([None, 0, 60, 128, 200, 255])),
        grow_px=draw(st.integers(0, 5)),
        min_area_px=draw(st.sampled_from([0, 0, 3, 20])),
        min_hole_px=draw(st.sampled_from([0, 2, 9, 30])),
        core_threshold_u8=None if above is None else threshold_u8 + above,
    )
