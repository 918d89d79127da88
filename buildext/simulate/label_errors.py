"""Errors of labels, each as it is met in the field, with the truth of what was done.

| error | in the field | here |
|---|---|---|
| lean | a map's footprints over an off-nadir image | a step of h · tan θ towards the sensor |
| global shift | a layer in the wrong datum, an image off by its pointing | one step for all |
| block shift | sheets or quarters drawn over different images | one step for each square block |
| rotation | sloppy drawing | each building about its own middle, normal angle |
| missing | new or unmapped houses | a share of the buildings has no label |
| extra | houses since demolished | a share of labels more, copies of others in free places |
| out of date | extensions built later | a share of the labels lacks a part of the building |

Each error draws from a random stream of its own, made from the seed and the error's name: to switch
one on or off leaves the others as they were. A block's step depends on the seed and the block's
place on the ground alone, so that labels cut into parts get the same steps as the whole.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.simulate.lean import lean_xy

Floats = NDArray[np.float64]
Polygons = NDArray[np.object_]

KEPT, CUT, EXTRA = "kept", "cut", "extra"
_PLACING_TRIES = 30


@dataclass(frozen=True, slots=True)
class BlockShift:
    """A step of its own for each square block of the ground.

    Either normal along both axes (`sigma_m`), or of a length drawn evenly from `length_m` in any
    direction.
    """

    side_m: float
    sigma_m: float | None = None
    length_m: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.side_m <= 0:
            raise UsageError(f"got blocks of {self.side_m:g} m; expected a positive side")
        if (self.sigma_m is None) == (self.length_m is None):
            raise UsageError(
                "got a block shift with both or neither of a sigma and a range; expected one",
                hint="give either a standard deviation or the least and the greatest length",
            )
        if self.length_m is not None and not 0 <= self.length_m[0] <= self.length_m[1]:
            raise UsageError(
                f"got block shifts from {self.length_m[0]:g} to {self.length_m[1]:g} m; "
                "expected 0 or more, the smaller first"
            )

    def steps_m(self, places_xy: Floats, seed: int) -> Floats:
        """East and north steps `(n, 2)` of buildings with their middles at `places_xy` `(n, 2)`."""
        cells = np.floor(places_xy / self.side_m).astype(np.int64)
        distinct, which = np.unique(cells, axis=0, return_inverse=True)
        steps = np.array([self._step(stream(seed, "block", *cell)) for cell in distinct])
        return steps.reshape(-1, 2)[which.reshape(-1)]

    def _step(self, rng: np.random.Generator) -> Floats:
        if self.length_m is None:
            return rng.normal(0.0, self.sigma_m or 0.0, 2)
        length, angle = rng.uniform(*self.length_m), rng.uniform(0, 2 * np.pi)
        return length * np.array([np.sin(angle), np.cos(angle)])


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """Which errors labels get; all lengths in metres, shares from 0 to 1.

    Attributes:
        off_nadir_deg: angle of the view; see `lean`.
        azimuth_deg: azimuth of the sensor as seen from the ground.
        shift_xy_m: one step east and north for all labels.
        block: a step for each block; None for none.
        rotation_deg: standard deviation of the rotation of each building.
        missing: share of the buildings without a label.
        extra: labels without a building, as a share of the number of buildings.
        out_of_date: share of the labels that lack a part of their building.
    """

    off_nadir_deg: float = 0.0
    azimuth_deg: float = 0.0
    shift_xy_m: tuple[float, float] = (0.0, 0.0)
    block: BlockShift | None = None
    rotation_deg: float = 0.0
    missing: float = 0.0
    extra: float = 0.0
    out_of_date: float = 0.0

    def __post_init__(self) -> None:
        lean_xy(self.off_nadir_deg, self.azimuth_deg)
        shares = {"missing": self.missing, "out of date": self.out_of_date}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise UsageError(f"got a share of {share:g} {name}; expected 0 to 1")
        if self.extra < 0 or self.rotation_deg < 0:
            raise UsageError("got a negative share of extra labels or rotation; expected 0 or more")


@dataclass(frozen=True, slots=True)
class MovedLabels:
    """Labels with errors, and what was done to each.

    Attributes:
        polygons: `(n,)` in the ground plane.
        source: `(n,)` row of the true building, -1 for an extra label.
        offset_xy_m: `(n, 2)` step from truth to label, NaN for an extra label.
        rotation_deg: `(n,)` counter-clockwise about the building's middle, NaN for an extra label.
        status: `(n,)` `kept`, `cut` (out of date) or `extra`.
    """

    polygons: Polygons
    source: NDArray[np.int64]
    offset_xy_m: Floats
    rotation_deg: Floats
    status: NDArray[Any] = field(repr=False)


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A random stream that depends on the seed and on its own names alone."""
    keys = [
        zlib.crc32(name.encode()) if isinstance(name, str) else int(name) & 0xFFFFFFFFFFFFFFFF
        for name in names
    ]
    return np.random.default_rng([seed, *keys])


def lead_astray(
    polygons: Polygons, heights_m: Floats, errors: LabelErrors, seed: int
) -> MovedLabels:
    """Give labels errors.

    Args:
        polygons: `(n,)` true outlines in the ground plane: roofs, where labels are to become
            footprints by their lean.
        heights_m: `(n,)` heights; only the lean asks for them.
        errors: what to do.
        seed: of everything random.

    Returns:
        The labels: those of buildings in their order, then the extra ones.
    """
    count = len(polygons)
    middles = shapely.get_coordinates(shapely.centroid(polygons))
    steps = np.outer(heights_m, lean_xy(errors.off_nadir_deg, errors.azimuth_deg))
    steps = steps + np.asarray(errors.shift_xy_m)
    if errors.block is not None:
        steps = steps + errors.block.steps_m(middles, seed)
    angles_deg = stream(seed, "rotation").normal(0.0, 1.0, count) * errors.rotation_deg

    outdated = stream(seed, "out of date").random(count) < errors.out_of_date
    labels = polygons.copy()
    for i in np.flatnonzero(outdated):
        labels[i] = _cut(polygons[i], stream(seed, "cut", int(i)))
    labels = _turn_and_move(labels, middles, np.radians(angles_deg), steps)
    extra = _extra_labels(labels, round(errors.extra * count), stream(seed, "extra"))

    kept = np.flatnonzero(stream(seed, "missing").random(count) >= errors.missing)
    unknown = np.full(len(extra), np.nan)
    return MovedLabels(
        polygons=np.concatenate([labels[kept], extra]),
        source=np.concatenate([kept, np.full(len(extra), -1)]).astype(np.int64),
        offset_xy_m=np.concatenate([steps[kept], np.column_stack([unknown, unknown])]),
        rotation_deg=np.concatenate([angles_deg[kept], unknown]),
        status=np.concatenate(
            [np.where(outdated[kept], CUT, KEPT), np.full(len(extra), EXTRA)]
        ).astype(object),
    )


def move(polygons: Polygons, steps_m: Floats) -> Polygons:
    """Polygons `(n,)` each moved by its own step `(n, 2)`."""
    xy, owner = shapely.get_coordinates(polygons, return_index=True)
    moved: Polygons = shapely.set_coordinates(polygons.copy(), xy + steps_m[owner])
    return moved


def _turn_and_move(
    polygons: Polygons, middles: Floats, angles_rad: Floats, steps_m: Floats
) -> Polygons:
    if not angles_rad.any():
        return move(polygons, steps_m)
    xy, owner = shapely.get_coordinates(polygons, return_index=True)
    x, y = (xy - middles[owner]).T
    cos, sin = np.cos(angles_rad)[owner], np.sin(angles_rad)[owner]
    turned = np.column_stack([cos * x - sin * y, sin * x + cos * y])
    moved: Polygons = shapely.set_coordinates(
        polygons.copy(), turned + middles[owner] + steps_m[owner]
    )
    return moved


def _cut(polygon: shapely.Geometry, rng: np.random.Generator) -> shapely.Geometry:
    """The older part of a building: 40 to 80 % of its length, from either end."""
    corners = shapely.get_coordinates(shapely.oriented_envelope(polygon))
    if len(corners) < 5:
        return polygon
    sides = np.diff(corners[:3], axis=0)
    long = int(np.argmax(np.hypot(*sides.T)))
    start, along = corners[long], sides[long]
    # Corners run 0-1-2: the other side leads from corner 1 to 2, or from corner 1 back to 0.
    across = sides[1] if long == 0 else -sides[0]
    share = rng.uniform(0.4, 0.8)
    if rng.random() < 0.5:
        start, along = start + along, -along
    part = shapely.Polygon(
        [start, start + share * along, start + share * along + across, start + across]
    )
    # A hair wider than the building, so that the cut is the only new edge.
    older = shapely.intersection(polygon, shapely.buffer(part, 1e-6, join_style="mitre"))
    areal = shapely.get_parts(older)
    areal = areal[shapely.get_dimensions(areal) == 2]
    if not len(areal):
        return polygon
    return areal[np.argmax(shapely.area(areal))]


def _extra_labels(labels: Polygons, count: int, rng: np.random.Generator) -> Polygons:
    """Copies of labels in places where none is; fewer than asked for where there is no room."""
    placed: list[shapely.Geometry] = []
    if count == 0:
        return np.empty(0, object)
    west, south, east, north = shapely.total_bounds(labels)
    tree = shapely.STRtree(labels)
    for _ in range(count):
        for _ in range(_PLACING_TRIES):
            model = labels[rng.integers(len(labels))]
            middle = shapely.get_coordinates(shapely.centroid(model))[0]
            step = rng.uniform((west, south), (east, north)) - middle
            candidate = shapely.transform(model, lambda xy, step=step: xy + step)
            if len(tree.query(candidate, predicate="intersects")):
                continue
            if any(shapely.intersects(candidate, other) for other in placed):
                continue
            placed.append(candidate)
            break
    return np.array(placed, object)
