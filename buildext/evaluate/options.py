"""What a user may choose about an evaluation.

Everything here changes the figures, so everything here is written into the report: two scores are
comparable only where these settings agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from buildext.errors import UsageError
from buildext.evaluate.frame import Frame

DEFAULT_CLASS_LIMITS_M = (12.0, 36.0, 100.0)


class Bounds(NamedTuple):
    """A rectangle in some CRS, in traditional order: west, south, east, north."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Settings of one evaluation.

    Attributes:
        height_field: field of the reference with building heights in metres; None scores no
            height classes.
        height_raster: raster of heights above ground (nDSM), sampled under the reference's
            footprints in place of a field.
        class_limits_m: ascending limits between the height classes; a class holds its lower limit.
        iou: smallest intersection over union at which two objects match.
        resolution_m: pixel of the scored grid where no raster gives one.
        tile_px: side of the tiles behind the tile mean and the bootstrap.
        boundary_m: tolerance of the boundary score; None takes max(0.5 m, 2 pixels).
        extent: what is scored: a raster whose grid is used, a rectangle in the reference's CRS, or
            a ready `Frame`. None: the reference mask's own grid, or the reference's bounding box.
        aoi: polygons (a vector file), or a rectangle in the scored grid's CRS, to score inside of.
        layer: layer of the prediction's file; None takes the first.
        ref_layer: layer of the reference's file; None takes the first.
        matching: `optimal`, or `spacenet` for SpaceNet's greedy rule.
        off_nadir: angle of the whole scene in degrees, or a layer of polygons with the fields
            `off_nadir_deg`, `scene` or both; see `ground`.
        probability: raster of building probabilities whose calibration is measured.
        resamples: bootstrap samples behind the intervals.
        seed: seed of the bootstrap.
    """

    height_field: str | None = None
    height_raster: Path | None = None
    class_limits_m: tuple[float, ...] = DEFAULT_CLASS_LIMITS_M
    iou: float = 0.5
    resolution_m: float = 0.3
    tile_px: int = 256
    boundary_m: float | None = None
    extent: Path | Bounds | Frame | None = None
    aoi: Path | Bounds | None = None
    layer: str | None = None
    ref_layer: str | None = None
    matching: Literal["optimal", "spacenet"] = "optimal"
    off_nadir: Path | float | None = None
    probability: Path | None = None
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        limits = self.class_limits_m
        if not limits or limits[0] <= 0 or any(a >= b for a, b in pairwise(limits)):
            raise UsageError(
                f"got the class limits {', '.join(f'{v:g}' for v in limits) or 'none'}; "
                "expected ascending heights above 0 in metres",
                hint="give limits such as 12,36,100",
            )
        if self.height_field is not None and self.height_raster is not None:
            raise UsageError(
                "got both a height field and a height raster; expected one of them",
                hint="leave out --height-field or --height-raster",
            )
        if self.matching not in ("optimal", "spacenet"):
            raise UsageError(f"got the matching {self.matching}; expected optimal or spacenet")
        angle = self.off_nadir
        if angle is not None and not isinstance(angle, Path) and not 0 <= angle < 90:
            raise UsageError(f"got an off-nadir angle of {angle:g}°; expected 0 to below 90")
        if not 0 < self.iou <= 1:
            raise UsageError(f"got an IoU of {self.iou:g}; expected a number in (0, 1]")
        if self.resolution_m <= 0 or self.tile_px < 1 or self.resamples < 1:
            raise UsageError("the resolution, the tile size and the resamples must be above 0")
        if self.boundary_m is not None and self.boundary_m <= 0:
            raise UsageError(f"got a boundary tolerance of {self.boundary_m:g} m; expected > 0")
