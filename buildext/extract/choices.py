"""What options and model card decide together: an option that is not given is the card's."""

from __future__ import annotations

import math

from buildext.engines.base import Engine
from buildext.engines.choose import make_engine
from buildext.engines.multiscale import MultiScaleEngine
from buildext.errors import UsageError
from buildext.extract.options import ExtractOptions
from buildext.footprints.separate import SeparationOptions
from buildext.models.card import Card
from buildext.models.store import Model
from buildext.scene.options import SceneOptions


def tile_sizes(card: Card, options: ExtractOptions) -> tuple[int, int]:
    """Tile and overlap in pixels.

    Raises:
        UsageError: the network cannot take such tiles.
    """
    tile_px = options.tile_px or card.tile_px
    overlap_px = card.overlap_px if options.overlap_px is None else options.overlap_px
    if tile_px % card.stride_divisor or not 0 <= overlap_px <= tile_px // 2:
        raise UsageError(
            f"got tiles of {tile_px} px with an overlap of {overlap_px} px; expected a multiple of "
            f"{card.stride_divisor} px and an overlap of at most half a tile"
        )
    return tile_px, overlap_px


def scene_options(card: Card, options: ExtractOptions) -> SceneOptions:
    """How a scene is read for a model."""
    return SceneOptions(
        gsd_range_m=(card.gsd.min_m, card.gsd.max_m),
        gsd_m=options.gsd_m,
        bands=options.bands,
        n_bands=len(card.bands),
        scale=options.scale,
        percentiles=card.percentiles,
        fill=card.fill,
        nodata=options.nodata,
        pixel_units=options.pixel_units,
        allow_remote=options.allow_remote,
    )


def separation_options(card: Card, options: ExtractOptions, gsd_m: float) -> SeparationOptions:
    """Thresholds as bytes and sizes in pixels of `gsd_m`."""
    thresholds = card.thresholds
    contact = options.contact_threshold or thresholds.contact
    if not options.separate or "contact" not in card.channels:
        contact = None
    threshold_u8 = max(1, round(255 * (options.threshold or thresholds.building)))
    core = options.core_threshold or thresholds.core
    return SeparationOptions(
        threshold_u8=threshold_u8,
        core_threshold_u8=None if core is None else max(threshold_u8, round(255 * core)),
        contact_threshold_u8=None if contact is None else round(255 * contact),
        grow_px=max(1, round(thresholds.grow_m / gsd_m)),
        min_area_px=round(options.min_area_m2 / gsd_m**2),
        min_hole_px=round(options.min_hole_m2 / gsd_m**2),
    )


def second_tile_px(card: Card, options: ExtractOptions, gsd_m: float) -> int:
    """Side of the tiles of a second look at `gsd_m`, a whole multiple of the network's stride.

    0 for none: also where it would be coarser than anything that the network was trained on.
    """
    tile_px, _ = tile_sizes(card, options)
    factor = options.second_scale or card.second_scale or 1.0
    if gsd_m * factor > card.gsd.max_m:
        return 0
    side_px = card.stride_divisor * math.ceil(tile_px / factor / card.stride_divisor)
    return side_px if side_px < tile_px else 0


def engine_of(model: Model, options: ExtractOptions, gsd_m: float) -> Engine:
    """The engine that the options ask for, for images of `gsd_m`.

    Raises:
        UsageError, ModelError: see `make_engine`.
    """

    def engine(side_px: int) -> Engine:
        return make_engine(
            model,
            engine=options.engine,
            device=options.device,
            precision=options.precision,
            tile_px=side_px,
            threads=options.threads,
            batch=options.batch,
        )

    tile_px, _ = tile_sizes(model.card, options)
    coarse_px = second_tile_px(model.card, options, gsd_m)
    if not coarse_px:
        return engine(tile_px)
    return MultiScaleEngine(engine(tile_px), engine(coarse_px), tile_px, coarse_px)
