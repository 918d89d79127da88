"""One evaluation from two files to an `Evaluation`.

files → frame → layers → pixels by tile, objects by tile → scores → classes
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.errors import LabelError, UsageError
from buildext.evaluate import scores
from buildext.evaluate.classes import HeightClasses, class_of_predictions
from buildext.evaluate.frame import Frame
from buildext.evaluate.layers import Layer, Objects, PolygonLayer, prepare_objects
from buildext.evaluate.masks import MaskLayer, is_raster
from buildext.evaluate.matching import find_overlaps, match
from buildext.evaluate.options import Bounds, EvaluateOptions
from buildext.evaluate.region import choose_frame, choose_region, require_overlap
from buildext.evaluate.tally import Count, PixelTally, Tiles, tally_pixels
from buildext.evaluate.vectors import VectorFile, read_vector
from buildext.progress import Progress, SilentProgress

logger = logging.getLogger(__name__)

DEFAULT_BOUNDARY_M = 0.5
DEFAULT_BOUNDARY_PX = 2


@dataclass(frozen=True, slots=True)
class _Side:
    """Prediction or reference in the scored region: its pixels and its objects."""

    layer: Layer
    objects: Objects


def evaluate_files(
    pred: Path,
    ref: Path,
    options: EvaluateOptions | None = None,
    *,
    progress: Progress | None = None,
) -> scores.Evaluation:
    """Score a prediction against a reference.

    Args:
        pred: vector file or mask with the predicted buildings; it may be empty.
        ref: vector file or mask with the true buildings.
        options: settings; the defaults where None.
        progress: told how far the walk over the pixels is.

    Returns:
        The scores, with what was scored and how.

    Raises:
        MissingInputError: a file does not exist.
        NoCrsError: a file has no CRS.
        LabelError: the reference has no building in the scored extent.
        InputError: a file cannot be used, or lies somewhere else.
        UsageError: an option names a layer or field that is not there, or contradicts the files.
    """
    options = options or EvaluateOptions()
    pred, ref = Path(pred), Path(ref)
    _check_masks(pred, ref, options)
    ref_file = None if is_raster(ref) else _read_reference(ref, options)
    pred_file = None if is_raster(pred) else read_vector(pred, layer=options.layer)
    frame = choose_frame(ref, ref_file, options)
    require_overlap(frame, pred, pred_file)

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="buildext-evaluate-")))
        ref_mask = pred_mask = None
        if ref_file is None:
            ref_mask = stack.enter_context(MaskLayer(ref, frame, folder / "ref.tif"))
        if pred_file is None:
            pred_mask = stack.enter_context(MaskLayer(pred, frame, folder / "pred.tif"))
        region = choose_region(
            frame, options.aoi, np.empty(0, object) if ref_mask is None else ref_mask.unlabelled
        )
        truth = _side(frame, ref_file, ref_mask, region, options.class_limits_m)
        if len(truth.objects.polygons) == 0:
            raise LabelError(
                f"{ref} has no building inside the scored extent ({frame.source})",
                hint="check the extent, the AOI and the CRS of the reference",
            )
        guess = _side(frame, pred_file, pred_mask, region, options.class_limits_m)
        tolerance_m = options.boundary_m or max(
            DEFAULT_BOUNDARY_M, DEFAULT_BOUNDARY_PX * max(frame.pixel_xy_m)
        )
        tiles = Tiles(frame, options.tile_px)
        classes = HeightClasses(options.class_limits_m)
        tally = tally_pixels(
            guess.layer,
            truth.layer,
            tiles,
            region=_region_layer(frame, region),
            classes=len(classes.names) if options.height_field else 0,
            tolerance_m=tolerance_m,
            progress=progress or SilentProgress(),
        )
    objects, class_objects = _tally_objects(
        guess, truth, tiles, tally.classes.shape[0], options.iou
    )
    # Without heights there is no class to score.
    named = list(zip(classes.names, classes.ranges_m, strict=True)) if options.height_field else []
    draw = {"resamples": options.resamples, "seed": options.seed}
    full = _full_tiles(tally, options.tile_px)
    return scores.Evaluation(
        prediction=str(pred),
        reference=str(ref),
        extent=_extent(frame, tally),
        settings=_settings(options, tolerance_m),
        pixels=scores.pixel_scores(tally.pixels, **draw),
        tile_mean=scores.tile_mean(tally.pixels[full], **draw),
        boundary=scores.boundary_scores(tally.boundary, tolerance_m, **draw),
        objects=scores.object_scores(objects, options.iou, **draw),
        objects_reliable=ref_mask is None and pred_mask is None,
        classes=tuple(
            scores.ClassScores(
                name=name,
                range_m=range_m,
                pixels=scores.pixel_scores(counts, **draw),
                # A class's tile mean uses only the tiles that hold the class.
                tile_mean=scores.tile_mean(counts[full & (counts[:, [0, 2]].any(axis=1))], **draw),
                objects=scores.object_scores(object_counts, options.iou, **draw),
            )
            for (name, range_m), counts, object_counts in zip(
                named, tally.classes, class_objects, strict=True
            )
        ),
        prediction_layer=guess.objects.repair,
        reference_layer=truth.objects.repair,
        notes=_notes(pred, ref, options, guess, truth, (pred_mask, ref_mask)),
    )


def _check_masks(pred: Path, ref: Path, options: EvaluateOptions) -> None:
    for path, layer, name in (
        (pred, options.layer, "layer"),
        (ref, options.ref_layer, "ref-layer"),
    ):
        if layer is not None and is_raster(path):
            raise UsageError(f"{path} is a mask, which has no layers", hint=f"leave out --{name}")
    if options.height_field is not None and is_raster(ref):
        raise UsageError(
            f"{ref} is a mask, which has no field {options.height_field}",
            hint="height classes need reference polygons with a height field",
        )


def _read_reference(ref: Path, options: EvaluateOptions) -> VectorFile:
    file = read_vector(ref, layer=options.ref_layer, height_field=options.height_field)
    if len(file.geometries) == 0:
        raise LabelError(f"{ref} holds no polygon", hint="give a reference with buildings")
    return file


def _side(
    frame: Frame,
    file: VectorFile | None,
    mask: MaskLayer | None,
    region: shapely.Geometry,
    class_limits_m: tuple[float, ...],
) -> _Side:
    """One of the two layers, from its polygons or from its mask."""
    if mask is not None:
        return _Side(mask, prepare_objects(mask.objects, region))
    assert file is not None  # a layer is a mask or a vector file
    objects = prepare_objects(frame.to_plane(file.geometries, file.crs), region, file.heights_m)
    classes = None
    if file.heights_m is not None:
        classes = HeightClasses(class_limits_m).assign(file.heights_m[objects.index])
    return _Side(PolygonLayer(frame, objects.polygons, classes), objects)


def _region_layer(frame: Frame, region: shapely.Geometry) -> PolygonLayer | None:
    if region.equals(frame.box):
        return None
    return PolygonLayer(frame, np.array([region], dtype=object))


def _tally_objects(
    guess: _Side, truth: _Side, tiles: Tiles, classes: int, min_iou: float
) -> tuple[Count, Count]:
    """Matched, surplus and missed objects of each tile: `(T, 3)`, and by class `(C, T, 3)`.

    A match is counted in the tile of its true object. What the extent cuts off by more than half
    counts where it is matched, and is nobody's mistake where it is not.
    """
    pred, ref = guess.objects.polygons, truth.objects.polygons
    overlaps = find_overlaps(pred, ref)
    matches = match(overlaps, len(pred), len(ref), min_iou)
    surplus = ~guess.objects.mostly_outside
    surplus[matches.pred] = False
    missed = ~truth.objects.mostly_outside
    missed[matches.ref] = False
    pred_tile, ref_tile = tiles.of_objects(pred), tiles.of_objects(ref)
    counts = np.zeros((len(tiles), 3), np.int64)
    np.add.at(counts[:, 0], ref_tile[matches.ref], 1)
    np.add.at(counts[:, 1], pred_tile[surplus], 1)
    np.add.at(counts[:, 2], ref_tile[missed], 1)
    by_class = np.zeros((classes, len(tiles), 3), np.int64)
    if classes:
        assert isinstance(truth.layer, PolygonLayer)  # only polygons have heights
        ref_class = truth.layer.classes
        pred_class = class_of_predictions(pred, truth.layer, overlaps)
        np.add.at(by_class[..., 0], (ref_class[matches.ref], ref_tile[matches.ref]), 1)
        np.add.at(by_class[..., 1], (pred_class[surplus], pred_tile[surplus]), 1)
        np.add.at(by_class[..., 2], (ref_class[missed], ref_tile[missed]), 1)
    return counts, by_class


def _full_tiles(tally: PixelTally, tile_px: int) -> NDArray[np.bool_]:
    """Tiles that count in a tile mean: at least half scored; any scored where none is that full."""
    full = 2 * tally.scored >= tile_px**2
    return full if full.any() else tally.scored > 0


def _extent(frame: Frame, tally: PixelTally) -> scores.Extent:
    scored_px = int(tally.scored.sum())
    return scores.Extent(
        source=frame.source,
        crs=frame.crs.to_string() if frame.crs.to_authority() else frame.crs.name,
        bounds=frame.bounds,
        width_px=frame.width,
        height_px=frame.height,
        pixel_xy_m=frame.pixel_xy_m,
        scored_px=scored_px,
        scored_m2=scored_px * frame.pixel_xy_m[0] * frame.pixel_xy_m[1],
    )


def _settings(options: EvaluateOptions, tolerance_m: float) -> dict[str, object]:
    aoi = options.aoi
    return {
        "height_field": options.height_field,
        "class_limits_m": list(options.class_limits_m),
        "min_iou": options.iou,
        "tile_px": options.tile_px,
        "boundary_m": tolerance_m,
        "aoi": list(aoi) if isinstance(aoi, Bounds) else str(aoi) if aoi else None,
        "layer": options.layer,
        "ref_layer": options.ref_layer,
        "resamples": options.resamples,
        "seed": options.seed,
    }


def _notes(
    pred: Path,
    ref: Path,
    options: EvaluateOptions,
    guess: _Side,
    truth: _Side,
    masks: tuple[MaskLayer | None, MaskLayer | None],
) -> tuple[str, ...]:
    """What a reader of the figures should know."""
    notes: list[str] = []
    if options.extent is None and masks[1] is None:
        notes.append(
            f"scored inside the bounding box of {ref.name} alone; use --extent or --aoi where more "
            "is labelled"
        )
    for mask in masks:
        notes.extend(mask.notes if mask else ())
    if any(masks):
        notes.append("object scores are unreliable: in a mask, buildings that touch are one object")
    for path, side in ((pred, guess), (ref, truth)):
        repair = side.objects.repair
        if repair.repaired or repair.dropped:
            notes.append(
                f"{path.name}: {repair.repaired} invalid polygons repaired, {repair.dropped} "
                "without area left out"
            )
    for note in notes:
        logger.info(note)
    return tuple(notes)
