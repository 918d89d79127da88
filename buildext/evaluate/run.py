"""One evaluation from two files to an `Evaluation`.

files → frame → layers → pixels by tile, objects by tile → scores → classes
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.errors import LabelError
from buildext.evaluate import scoring
from buildext.evaluate.bins import OFF_NADIR_BINS, SIZE_BINS
from buildext.evaluate.bootstrap import units_of
from buildext.evaluate.buildings import TANGENT_STEP_M, Buildings, measure_pairs
from buildext.evaluate.buildings import Side as Records
from buildext.evaluate.calibration import Calibration, calibrate, count_cases
from buildext.evaluate.classes import HeightClasses, class_of_predictions
from buildext.evaluate.comparison import Comparison, Partition, compare
from buildext.evaluate.frame import Frame
from buildext.evaluate.ground import Zones, read_zones
from buildext.evaluate.grouping import Grouper
from buildext.evaluate.layers import PolygonLayer
from buildext.evaluate.masks import MaskLayer
from buildext.evaluate.options import Bounds, EvaluateOptions
from buildext.evaluate.probability import count_pixels
from buildext.evaluate.ratios import ratio
from buildext.evaluate.region import choose_frame, choose_region, require_overlap
from buildext.evaluate.scores import ClassScores, Evaluation, Extent, GroupScores
from buildext.evaluate.sides import Side, check_masks, make_side, read_prediction, read_reference
from buildext.evaluate.tally import PixelTally, Tiles, tally_pixels
from buildext.evaluate.touching import touching_scores
from buildext.progress import Progress, SilentProgress

logger = logging.getLogger(__name__)

DEFAULT_BOUNDARY_M = 0.5
DEFAULT_BOUNDARY_PX = 2


def evaluate_files(
    pred: Path,
    ref: Path,
    options: EvaluateOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Evaluation:
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
    check_masks(pred, ref, options)
    ref_file, pred_file = read_reference(ref, options), read_prediction(pred, options)
    frame = choose_frame(ref, ref_file, options)
    require_overlap(frame, pred, pred_file)
    tiles = Tiles(frame, options.tile_px)
    tolerance_m = options.boundary_m or max(
        DEFAULT_BOUNDARY_M, DEFAULT_BOUNDARY_PX * max(frame.pixel_xy_m)
    )
    draw = {"resamples": options.resamples, "seed": options.seed}

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
        region_layer = _region_layer(frame, region)
        truth = make_side(frame, ref_file, ref_mask, region, options, truth=True)
        if len(truth.objects.polygons) == 0:
            raise LabelError(
                f"{ref} has no building inside the scored extent ({frame.source})",
                hint="check the extent, the AOI and the CRS of the reference",
            )
        guess = make_side(frame, pred_file, pred_mask, region, options, truth=False)
        # From here on the clipped copies are enough.
        del ref_file, pred_file
        classes = HeightClasses(options.class_limits_m)
        tally = tally_pixels(
            guess.layer,
            truth.layer,
            tiles,
            region=region_layer,
            classes=0 if truth.heights_m is None else len(classes.names),
            tolerance_m=tolerance_m,
            progress=progress or SilentProgress(),
        )
        probability = None
        if options.probability is not None:
            histogram, per_tile, missed = count_pixels(
                options.probability, truth.layer, tiles, region_layer
            )
            probability = calibrate(histogram, per_tile, cases="pixels", missed=missed, **draw)

    comparison = compare(
        guess.objects,
        truth.objects,
        options.iou,
        spacenet=options.matching == "spacenet",
        confidence=guess.confidence,
    )
    buildings = _records(frame, guess, truth, comparison)
    grouper = Grouper(comparison, buildings.pairs, tiles, min_iou=options.iou, **draw)
    whole = grouper.whole()
    angle, scene = _zones(options, tiles)
    return Evaluation(
        prediction=str(pred),
        reference=str(ref),
        extent=_extent(frame, tally),
        settings=_settings(options, tolerance_m),
        pixels=scoring.pixel_scores(tally.pixels, **draw),
        tile_mean=scoring.tile_mean(tally.pixels[_full_tiles(tally, options.tile_px)], **draw),
        boundary=scoring.boundary_scores(tally.boundary, tolerance_m, **draw),
        objects=whole.objects,
        ladder=whole.ladder,
        objects_reliable=ref_mask is None and pred_mask is None,
        shapes=whole.shapes,
        segmentation=whole.segmentation,
        touching=touching_scores(truth.objects, comparison.overlaps) if ref_mask is None else None,
        classes=_classes(classes, tally, buildings, grouper, options),
        sizes=_sizes(buildings, grouper),
        off_nadir=_by_zone(angle, tally, grouper, options),
        scenes=_by_zone(scene, tally, grouper, options),
        confidence=_calibrate_polygons(buildings, tiles, options),
        probability=probability,
        prediction_layer=guess.objects.repair,
        reference_layer=truth.objects.repair,
        notes=_notes(pred, ref, options, guess, truth, (pred_mask, ref_mask)),
        buildings=buildings,
    )


def _records(frame: Frame, guess: Side, truth: Side, comparison: Comparison) -> Buildings:
    """The records of all buildings."""
    pairs = measure_pairs(comparison, frame, guess.step_m, truth.step_m)
    sides = []
    for side, own, parts in (
        (guess, pairs.pred, comparison.segmentation.merged),
        (truth, pairs.ref, comparison.segmentation.pieces),
    ):
        objects = side.objects
        match = np.full(len(objects.polygons), -1, np.intp)
        match[own] = np.arange(len(own))
        sides.append(
            Records(
                polygons=objects.polygons,
                row=objects.index,
                cut=objects.mostly_outside,
                match=match,
                parts=parts,
                size_group=SIZE_BINS.assign(shapely.area(objects.polygons)),
            )
        )
    height_class = charged = None
    if truth.heights_m is not None:
        assert isinstance(truth.layer, PolygonLayer)  # only polygons have heights
        height_class = truth.layer.classes.astype(np.intp)
        charged = class_of_predictions(
            guess.objects.polygons, truth.layer, comparison.overlaps
        ).astype(np.intp)
    return Buildings(
        frame=frame,
        pred=sides[0],
        ref=sides[1],
        pairs=pairs,
        overlaps=comparison.overlaps,
        height_m=truth.heights_m,
        height_class=height_class,
        charged_class=charged,
        confidence=guess.confidence,
    )


def _classes(
    classes: HeightClasses,
    tally: PixelTally,
    buildings: Buildings,
    grouper: Grouper,
    options: EvaluateOptions,
) -> tuple[ClassScores, ...]:
    """Scores by height; none where nobody told the heights."""
    if buildings.height_class is None or buildings.charged_class is None:
        return ()
    draw = {"resamples": options.resamples, "seed": options.seed}
    full = _full_tiles(tally, options.tile_px)
    partition = Partition(
        classes.names, classes.ranges_m, buildings.height_class, buildings.charged_class
    )
    return tuple(
        ClassScores(
            name=name,
            range_m=range_m,
            pixels=scoring.pixel_scores(counts[:, :3], **draw),
            # A class's tile mean uses only the tiles that hold the class.
            tile_mean=scoring.tile_mean(counts[full & counts[:, [0, 2]].any(axis=1), :3], **draw),
            boundary_iou=ratio(*(int(count) for count in counts[:, 3:].sum(axis=0))),
            objects=group.objects,
            ladder=group.ladder,
            shapes=group.shapes,
            segmentation=group.segmentation,
        )
        for name, range_m, counts, group in zip(
            classes.names, classes.ranges_m, tally.classes, grouper.groups(partition), strict=True
        )
    )


def _sizes(buildings: Buildings, grouper: Grouper) -> tuple[GroupScores, ...]:
    """Scores by area. A false prediction is charged to its own size."""
    partition = Partition(
        SIZE_BINS.names, SIZE_BINS.ranges, buildings.ref.size_group, buildings.pred.size_group
    )
    return tuple(
        GroupScores(name, limits, None, g.objects, g.ladder, g.shapes, g.segmentation)
        for name, limits, g in zip(
            partition.names, partition.limits, grouper.groups(partition), strict=True
        )
    )


def _zones(options: EvaluateOptions, tiles: Tiles) -> tuple[Zones | None, Zones | None]:
    """The tiles by off-nadir angle and by scene."""
    if isinstance(options.off_nadir, Path):
        return read_zones(options.off_nadir, tiles)
    if options.off_nadir is None:
        return None, None
    group = int(OFF_NADIR_BINS.assign(np.array([options.off_nadir]))[0])
    everywhere = np.full(len(tiles), group, np.intp)
    return Zones(OFF_NADIR_BINS.names, OFF_NADIR_BINS.ranges, everywhere), None


def _by_zone(
    zones: Zones | None, tally: PixelTally, grouper: Grouper, options: EvaluateOptions
) -> tuple[GroupScores, ...]:
    """Scores of those groups of tiles that are there."""
    if zones is None:
        return ()
    partition = Partition(
        zones.names,
        zones.limits,
        zones.of_tile[grouper.ref_tile],
        zones.of_tile[grouper.pred_tile],
    )
    found = []
    for number, group in enumerate(grouper.groups(partition)):
        here = zones.of_tile == number
        if here.any():
            pixels = scoring.pixel_scores(
                tally.pixels[here], resamples=options.resamples, seed=options.seed
            )
            found.append(
                GroupScores(
                    name=zones.names[number],
                    limits=zones.limits[number],
                    pixels=pixels,
                    objects=group.objects,
                    ladder=group.ladder,
                    shapes=group.shapes,
                    segmentation=group.segmentation,
                )
            )
    return tuple(found)


def _calibrate_polygons(
    buildings: Buildings, tiles: Tiles, options: EvaluateOptions
) -> Calibration | None:
    """Calibration of the polygons' confidence; None where none has any."""
    confidence, pred = buildings.confidence, buildings.pred
    if confidence is None:
        return None
    right = pred.match >= 0
    counted = (right | ~pred.cut) & (confidence >= 0) & (confidence <= 1)
    found_ref = buildings.pairs.ref[pred.match[counted & right]]
    missed = ~buildings.ref.cut
    missed[found_ref] = False
    unit = units_of(len(tiles))
    histogram, per_unit = count_cases(
        confidence[counted],
        right[counted],
        unit[tiles.of_objects(pred.polygons[counted])],
        int(unit[-1]) + 1,
    )
    return calibrate(
        histogram,
        per_unit,
        cases="polygons",
        missed=int(missed.sum()),
        resamples=options.resamples,
        seed=options.seed,
    )


def _region_layer(frame: Frame, region: shapely.Geometry) -> PolygonLayer | None:
    if region.equals(frame.box):
        return None
    return PolygonLayer(frame, np.array([region], dtype=object))


def _full_tiles(tally: PixelTally, tile_px: int) -> NDArray[np.bool_]:
    """Tiles that count in a tile mean: at least half scored; any scored where none is that full."""
    full = 2 * tally.scored >= tile_px**2
    return full if full.any() else tally.scored > 0


def _extent(frame: Frame, tally: PixelTally) -> Extent:
    scored_px = int(tally.scored.sum())
    return Extent(
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
        "height_raster": str(options.height_raster) if options.height_raster else None,
        "class_limits_m": list(options.class_limits_m),
        "min_iou": options.iou,
        "matching": options.matching,
        "size_limits_m2": list(SIZE_BINS.limits),
        "off_nadir_limits_deg": list(OFF_NADIR_BINS.limits),
        "tangent_step_m": TANGENT_STEP_M,
        "off_nadir": None if options.off_nadir is None else str(options.off_nadir),
        "probability": str(options.probability) if options.probability else None,
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
    guess: Side,
    truth: Side,
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
    if guess.confidence is not None:
        strange = int(((guess.confidence < 0) | (guess.confidence > 1)).sum())
        if strange:
            notes.append(
                f"{pred.name}: {strange} predictions have a confidence outside 0 to 1 and are left "
                "out of its calibration"
            )
    for note in notes:
        logger.info(note)
    return tuple(notes)
