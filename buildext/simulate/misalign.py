"""The `misalign` job: a file of clean labels in, a file of labels with known errors out.

Labels are taken to be roofs as they are seen in the image. With a lean they become what a map would
hold, the footprints: each moves h · tan θ towards the sensor. Everything is computed in metres on
the ground plane, and written back in the CRS of the labels.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext import __version__
from buildext.atomic import check_output
from buildext.simulate.ground import ground_crs, project
from buildext.simulate.heights import HeightDistribution, check_heights
from buildext.simulate.label_errors import LabelErrors, MovedLabels, lead_astray, stream
from buildext.simulate.layer import Layer, read_layer, write_layer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MisalignOptions:
    """What to do to a file of labels.

    Attributes:
        errors: the errors.
        height_field: field with heights in metres; None draws all of them.
        heights: distribution of the heights that the field does not know.
        seed: of everything random.
        layer: layer of the file; None takes the first.
    """

    errors: LabelErrors
    height_field: str | None = None
    heights: HeightDistribution = field(default_factory=HeightDistribution)
    seed: int = 0
    layer: str | None = None


@dataclass(frozen=True, slots=True)
class Misaligned:
    """What was written.

    Attributes:
        buildings: in the clean labels.
        labels: in the output, extra ones included.
        extra: labels without a building.
        cut: labels that lack a part of their building.
        mean_offset_m: mean length of the step from truth to label.
        largest_offset_m: its greatest.
    """

    buildings: int
    labels: int
    extra: int
    cut: int
    mean_offset_m: float
    largest_offset_m: float


def misalign_file(
    labels: Path, output: Path, options: MisalignOptions, *, overwrite: bool = False
) -> Misaligned:
    """Read clean labels, lead them astray, and write them with the truth in their attributes.

    Args:
        labels: vector file, or a mask whose blobs each move in one piece.
        output: GeoPackage to write, in the CRS of `labels`, with the fields `id` (row of the clean
            label), `status`, `east_m`, `north_m` (step from truth to label on the ground),
            `height_m` and `rotation_deg`.
        options: what to do.
        overwrite: replace an existing file.

    Raises:
        InputError: see `read_layer`; also heights below zero.
        UsageError: no such field or layer.
        OutputExistsError, OutputError: the output cannot be written.
    """
    check_output(output, overwrite)
    clean = read_layer(labels, options.layer)
    west, south, east, north = shapely.total_bounds(clean.polygons)
    ground = ground_crs(clean.crs, (west, south, east, north))
    heights_m = _heights(clean, options)
    moved = lead_astray(
        project(clean.polygons, clean.crs, ground), heights_m, options.errors, options.seed
    )
    settings = dataclasses.asdict(options) | {"version": __version__, "labels": labels.name}
    result = Layer(clean.crs, project(moved.polygons, ground, clean.crs), _fields(moved, heights_m))
    write_layer(output, result, "labels", {"misalign": settings}, overwrite)
    return _summary(len(clean.polygons), moved)


def _heights(clean: Layer, options: MisalignOptions) -> NDArray[np.float64]:
    drawn = options.heights.draw(len(clean.polygons), stream(options.seed, "height"))
    if options.height_field is None:
        return drawn
    known = clean.numbers(options.height_field)
    check_heights(known, f"a {options.height_field}")
    unknown = np.isnan(known)
    if unknown.any():
        log.warning(
            "%d of %d rows have no %s; their heights are drawn",
            unknown.sum(),
            len(known),
            options.height_field,
        )
    return np.where(unknown, drawn, known)


def _fields(moved: MovedLabels, heights_m: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
    true = moved.source >= 0
    return {
        "id": moved.source,
        "status": moved.status,
        "east_m": moved.offset_xy_m[:, 0],
        "north_m": moved.offset_xy_m[:, 1],
        "height_m": np.where(true, heights_m[moved.source], np.nan),
        "rotation_deg": moved.rotation_deg,
    }


def _summary(buildings: int, moved: MovedLabels) -> Misaligned:
    true = moved.source >= 0
    lengths = np.hypot(*moved.offset_xy_m[true].T)
    return Misaligned(
        buildings=buildings,
        labels=len(moved.polygons),
        extra=int((~true).sum()),
        cut=int((moved.status == "cut").sum()),
        mean_offset_m=float(lengths.mean()) if len(lengths) else 0.0,
        largest_offset_m=float(lengths.max()) if len(lengths) else 0.0,
    )
