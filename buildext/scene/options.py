"""What a model needs from a scene, and what the user asked for.

A model was trained on some range of ground sampling distances (GSD, metres per pixel), on so many
colour bands and on 8-bit values. A scene comes with whatever its sensor gave. `SceneOptions` holds
all that decides how the one becomes the other, so that two runs with equal options read equal
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from buildext.errors import UsageError


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """How a scene is read.

    Attributes:
        gsd_range_m: lowest and highest metres per pixel that the model was trained on.
        gsd_m: resample to this GSD; with `pixel_units` and no CRS: the GSD that the image has.
        bands: 1-based bands to read, in the model's order; None chooses by colour interpretation.
        n_bands: bands that the model takes; a single band is repeated to as many.
        scale: values that become 0 and 255; None takes percentiles (8-bit data stay as they are).
        percentiles: the two percentiles of the valid pixels that become 0 and 255.
        fill: colour of pixels that are invalid or outside, usually the model's mean.
        nodata: overrides the files' nodata value.
        pixel_units: accept a raster without CRS or geotransform.
        allow_remote: accept network sources and Python pixel functions.
    """

    gsd_range_m: tuple[float, float] = (0.1, 0.6)
    gsd_m: float | None = None
    bands: tuple[int, ...] | None = None
    n_bands: int = 3
    scale: tuple[float, float] | None = None
    percentiles: tuple[float, float] = (1.0, 99.0)
    fill: tuple[int, ...] = (124, 116, 104)
    nodata: float | None = None
    pixel_units: bool = False
    allow_remote: bool = False

    def __post_init__(self) -> None:
        low, high = self.gsd_range_m
        if not 0 < low <= high:
            raise UsageError(f"GSD range {low}–{high} m; expected 0 < lowest ≤ highest")
        if self.gsd_m is not None and not self.gsd_m > 0:
            raise UsageError(f"GSD {self.gsd_m} m; expected more than 0")
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise UsageError(
                f"scale {self.scale[0]:g},{self.scale[1]:g}; expected the lower value first"
            )
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise UsageError(
                f"percentiles {self.percentiles}; expected two rising numbers in 0–100"
            )
        if len(self.fill) != self.n_bands:
            raise UsageError(
                f"{len(self.fill)} fill values; expected {self.n_bands}, one for each band"
            )
