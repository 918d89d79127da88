"""All options of an extraction, with their defaults: one value that is recorded with the output."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from buildext.footprints.shape import ShapeOptions


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """What decides how footprints are extracted; None means the model card's value.

    Attributes:
        model: bundled name or folder of the model.
        engine, device, precision: see `engines.choose.make_engine`.
        threads: CPU threads of the engine; 0 takes all.
        batch: tiles at a time; 0 leaves it to the engine.
        tile_px, overlap_px: tile grid in pixels of the model grid.
        second_scale: look at each tile again, this many times coarser, and average; 1 looks once.
        strip_rows, panel_px: tile rows and pixels handled at once; they bound memory and do not
            change the result.
        threshold: building probability from which a pixel is building, 0..1.
        core_threshold: probability where a building begins, 0..1; one below `threshold` is that.
        contact_threshold: probability from which a building pixel is a seam, 0..1.
        separate: split touching buildings by the contact channel where the model has one.
        min_area_m2, min_hole_m2: smaller buildings (by what reaches the core's threshold) are
            dropped, smaller holes filled.
        shape: how outlines are simplified or regularised.
        gsd_m: run at this GSD in metres instead of the nearest that the model was trained on.
        bands: 1-based band numbers for the model's bands.
        scale: values mapped to 0 and 255 instead of percentiles.
        nodata: value that is invalid, overriding the file's.
        pixel_units: accept a scene without CRS.
        allow_remote: accept network sources.
    """

    model: str = "default"
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    batch: int = 0
    tile_px: int | None = None
    overlap_px: int | None = None
    second_scale: float | None = None
    strip_rows: int = 1
    panel_px: int = 4096
    threshold: float | None = None
    core_threshold: float | None = None
    contact_threshold: float | None = None
    separate: bool = True
    min_area_m2: float = 5.0
    min_hole_m2: float = 4.0
    shape: ShapeOptions = field(default_factory=ShapeOptions)
    gsd_m: float | None = None
    bands: tuple[int, ...] | None = None
    scale: tuple[float, float] | None = None
    nodata: float | None = None
    pixel_units: bool = False
    allow_remote: bool = False

    def to_json(self) -> dict[str, Any]:
        """The options as plain values, for the output's metadata."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go.

    Attributes:
        footprints: the layer of buildings; its suffix chooses the format.
        probability: building probability as a COG.
        review: the most doubtful buildings, for a person to check.
        overwrite: replace what exists.
    """

    footprints: Path
    probability: Path | None = None
    review: Path | None = None
    overwrite: bool = False

    def paths(self) -> list[Path]:
        """All outputs that were asked for."""
        return [path for path in (self.footprints, self.probability, self.review) if path]
