"""All options of a mosaic: what decides the result, and what only decides how it is come by."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from buildext.extract.options import ExtractOptions
from buildext.footprints.shape import ShapeOptions

NEWEST, GIVEN, NADIR = "newest", "given", "nadir"


@dataclass(frozen=True, slots=True)
class MosaicOptions:
    """What decides the buildings of a mosaic.

    Attributes:
        extract: model, tiles, thresholds and shapes, as for a single scene.
        crs: CRS of the mosaic, such as "EPSG:32737"; None takes that of most pixels.
        block_px: side of a block in pixels of the model grid, rounded to whole cells.
        order: which of several files counts at a pixel: `newest`, `given` (the first named),
            `nadir` (the least tilted view), or the name of a field of a tile index or a property of
            STAC items, of which the largest value counts.
        asset: name of the asset to read of each STAC item; None takes the first image.
        formats: of the layer, see `finish`.
        aoi: where to look, as `extract.area.read_area` has it; None looks everywhere.
    """

    extract: ExtractOptions = field(default_factory=ExtractOptions)
    crs: str | None = None
    block_px: int = 8192
    order: str = NEWEST
    asset: str | None = None
    formats: tuple[str, ...] = ("parquet", "gpkg", "pmtiles")
    aoi: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The options as plain values, for the ledger."""
        return asdict(self)

    def lasting(self) -> dict[str, Any]:
        """The options on which the result depends, for the metadata of outputs."""
        values = self.to_json()
        for name in ("threads", "batch", "strip_rows", "panel_px"):
            del values["extract"][name]
        del values["formats"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> MosaicOptions:
        """The options that `to_json` gave."""
        extract = dict(values["extract"])
        extract["shape"] = ShapeOptions(**extract["shape"])
        for name in ("bands", "scale"):
            extract[name] = None if extract[name] is None else tuple(extract[name])
        rest = {**values, "extract": ExtractOptions(**extract), "formats": tuple(values["formats"])}
        return cls(**rest)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What decides how a run goes, and nothing of the result.

    Attributes:
        attempts: times that a block is tried before it counts as failed.
        fail_fast: end with the first file that is damaged or block that fails.
    """

    attempts: int = 3
    fail_fast: bool = False
