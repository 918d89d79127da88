"""A city: structures, each one or more tiers with a lower and an upper end.

A tower on a podium with a set-back crown is one structure of three tiers, each a prism from its own
base to its own top. Files say so in two ways: one height per polygon, or elevations of base and top
above sea level, with a field that tells which tiers belong together. Heights are kept above the
ground of the structure, which the image is rectified to.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from buildext.errors import InputError
from buildext.simulate.ground import ground_crs, project
from buildext.simulate.heights import check_heights
from buildext.simulate.layer import Layer

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

# Names under which files are known to give a height, most particular first.
HEIGHT_FIELDS = ("height_m", "height", "building_height", "measured_height", "measuredHeight")
# The City of Melbourne's names: in the extract that comes with buildext, and in the open data.
TIER_FIELDS = (
    ("bottom_elevation_m", "top_elevation_m", "ground_elevation_m"),
    ("footprint_min_elevation", "footprint_max_elevation", "structure_min_elevation"),
)
STRUCTURE_FIELDS = ("structure_id",)
ROOF_FIELDS = ("roof_type", "roof:shape", "roof_shape")
_LEAST_AREA_M2 = 1.0


class Roof(IntEnum):
    """Shape of a roof."""

    FLAT = 0
    GABLE = 1
    HIP = 2
    PYRAMID = 3
    SHED = 4


# Names of shapes in the City of Melbourne's data and in OpenStreetMap.
_ROOF_NAMES = {
    "flat": Roof.FLAT,
    "gable": Roof.GABLE,
    "gabled": Roof.GABLE,
    "hip": Roof.HIP,
    "hipped": Roof.HIP,
    "pyramid": Roof.PYRAMID,
    "pyramidal": Roof.PYRAMID,
    "shed": Roof.SHED,
    "skillion": Roof.SHED,
}


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Which fields say what; None looks for the known names."""

    height: str | None = None
    base: str | None = None
    top: str | None = None
    structure: str | None = None
    roof: str | None = None


@dataclass(frozen=True, slots=True)
class City:
    """Tiers in a plane of metres.

    Attributes:
        crs: a projected CRS whose unit is the metre.
        polygons: `(n,)` polygons without parts, x east and y north.
        base_m: `(n,)` lower ends above the ground.
        top_m: `(n,)` upper ends: eaves for a flat roof, the ridge for others.
        roof: `(n,)` uint8, a `Roof`.
        structure: `(n,)` index of the structure, 0 to `structures` - 1.
        structure_id: `(structures,)` its number in the file, or of its row.
    """

    crs: pyproj.CRS
    polygons: NDArray[np.object_]
    base_m: Floats
    top_m: Floats
    roof: NDArray[np.uint8]
    structure: NDArray[np.int64]
    structure_id: NDArray[np.int64]

    @property
    def structures(self) -> int:
        """Number of structures."""
        return len(self.structure_id)


def build_city(layer: Layer, names: FieldNames) -> City:
    """Find heights, tiers and roofs in the fields of a layer.

    Raises:
        InputError: no field with heights, heights below zero, a top below its base, nothing left.
        UsageError: a named field does not exist.
    """
    base_m, top_m = _ends(layer, names)
    check_heights(top_m, "a height")
    below = np.flatnonzero(top_m < base_m)
    if len(below):
        raise InputError(
            f"got a top of {top_m[below[0]]:g} m below its base of {base_m[below[0]]:g} m in row "
            f"{below[0]} ({len(below)} of {len(top_m)} rows); expected tops above bases",
            hint="check which field is the base and which the top",
        )
    ids = _structure_ids(layer, names)
    roof = _roofs(layer, names)
    bounds = shapely.total_bounds(layer.polygons)
    crs = ground_crs(layer.crs, (bounds[0], bounds[1], bounds[2], bounds[3]))
    polygons = project(layer.polygons, layer.crs, crs)
    invalid = ~shapely.is_valid(polygons)
    polygons[invalid] = shapely.make_valid(polygons[invalid])
    parts, row = shapely.get_parts(polygons, return_index=True)
    # Repaired polygons may be collections, whose parts may have parts.
    parts, inner = shapely.get_parts(parts, return_index=True)
    row = row[inner]
    large = (shapely.area(parts) >= _LEAST_AREA_M2) & ~np.isnan(top_m[row])
    if not large.any():
        raise InputError(
            "got no building with a height and an area", hint="check the field with heights"
        )
    unknown = int(np.isnan(top_m).sum())
    if unknown:
        log.warning("%d of %d rows have no height and are left out", unknown, len(top_m))
    parts, row = parts[large], row[large]
    structure_id, structure = np.unique(ids[row], return_inverse=True)
    return City(crs, parts, base_m[row], top_m[row], roof[row], structure.reshape(-1), structure_id)


def _ends(layer: Layer, names: FieldNames) -> tuple[Floats, Floats]:
    """Base and top above the ground, NaN where unknown."""
    fields = layer.fields
    if names.top is not None or names.base is not None:
        if names.top is None or names.base is None:
            raise InputError(
                "got one of a base field and a top field; expected both",
                hint="name both, or a single height field",
            )
        return _above_ground(layer, names, names.base, names.top, names.base)
    if names.height is not None:
        top_m = layer.numbers(names.height)
        return np.zeros_like(top_m), top_m
    for base, top, ground in TIER_FIELDS:
        if {base, top, ground} <= set(fields):
            return _above_ground(layer, names, base, top, ground)
    for name in HEIGHT_FIELDS:
        if name in fields:
            top_m = layer.numbers(name)
            return np.zeros_like(top_m), top_m
    raise InputError(
        f"got footprints without a field of heights; they have {', '.join(fields) or 'no fields'}",
        hint="name it with --height-field, or tiers with --base-field and --top-field",
    )


def _above_ground(
    layer: Layer, names: FieldNames, base: str, top: str, ground: str
) -> tuple[Floats, Floats]:
    """Elevations less the lowest ground of each structure."""
    base_m, top_m, ground_m = (layer.numbers(name) for name in (base, top, ground))
    _, structure = np.unique(_structure_ids(layer, names), return_inverse=True)
    lowest = np.full(structure.max() + 1, np.inf)
    np.fmin.at(lowest, structure.reshape(-1), ground_m)
    level = lowest[structure.reshape(-1)]
    return np.maximum(base_m - level, 0.0), top_m - level


def _structure_ids(layer: Layer, names: FieldNames) -> NDArray[np.int64]:
    rows = np.arange(len(layer.polygons))
    name = names.structure or next((n for n in STRUCTURE_FIELDS if n in layer.fields), None)
    if name is None:
        return rows
    numbers = layer.numbers(name)
    # A row without a number is a structure of its own; negative, so that it meets no other.
    return np.where(np.isnan(numbers), -1 - rows, np.nan_to_num(numbers)).astype(np.int64)


def _roofs(layer: Layer, names: FieldNames) -> NDArray[np.uint8]:
    name = names.roof or next((n for n in ROOF_FIELDS if n in layer.fields), None)
    if name is None:
        return np.zeros(len(layer.polygons), np.uint8)
    if name not in layer.fields:
        layer.numbers(name)  # tells which fields there are
    shapes = [_ROOF_NAMES.get(str(value).lower(), Roof.FLAT) for value in layer.fields[name]]
    return np.array(shapes, np.uint8)
