"""Gathering: from two files to findings, along the way that the scores go.

Frame, region, clipping and matching are those of `evaluate_files` with the same options, so the
counts on a page are the counts in its table.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.evaluate.frame import Frame
from buildext.evaluate.layers import Objects, prepare_objects
from buildext.evaluate.masks import MaskLayer, is_raster
from buildext.evaluate.matching import find_overlaps, match
from buildext.evaluate.options import EvaluateOptions
from buildext.evaluate.region import choose_frame, choose_region
from buildext.evaluate.report.findings import Findings, Floats, join
from buildext.evaluate.vectors import VectorFile, read_vector

CONFIDENCE_FIELD = "confidence"


def gather(pred: Path, ref: Path, options: EvaluateOptions) -> Findings:
    """The buildings behind an evaluation.

    Args:
        pred: vector file or mask with the predicted buildings. A field `confidence` is used where
            there is one.
        ref: vector file or mask with the true buildings.
        options: those of the evaluation.

    Raises:
        InputError: as `evaluate_files`.
    """
    heights = None if is_raster(ref) else options.height_field
    ref_file = _polygons(ref, options.ref_layer, heights)
    confidence = None if is_raster(pred) else _confidence(pred, options.layer)
    pred_file = _polygons(pred, options.layer, None)
    frame = choose_frame(ref, ref_file, options)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="buildext-report-")))
        masks = {
            name: stack.enter_context(MaskLayer(path, frame, folder / f"{name}.tif"))
            for name, path, file in (("pred", pred, pred_file), ("ref", ref, ref_file))
            if file is None
        }
        unlabelled = masks["ref"].unlabelled if "ref" in masks else np.empty(0, object)
        region = choose_region(frame, options.aoi, unlabelled)
        guess = _objects(frame, region, pred_file, masks.get("pred"))
        truth = _objects(frame, region, ref_file, masks.get("ref"))
    overlaps = find_overlaps(guess.polygons, truth.polygons)
    matches = match(overlaps, len(guess.polygons), len(truth.polygons), options.iou)
    heights_m = None if ref_file is None else ref_file.heights_m
    return join(
        frame,
        guess.polygons,
        truth.polygons,
        overlaps,
        matches,
        min_iou=options.iou,
        pred_excused=guess.mostly_outside,
        ref_excused=truth.mostly_outside,
        heights_m=None if heights_m is None else heights_m[truth.index],
        confidence=None if confidence is None else confidence[guess.index],
    )


def _polygons(path: Path, layer: str | None, height_field: str | None) -> VectorFile | None:
    """A vector file; None for a mask."""
    return None if is_raster(path) else read_vector(path, layer=layer, height_field=height_field)


def _confidence(path: Path, layer: str | None) -> Floats | None:
    """Confidences of the rows with a geometry; None where the file tells none.

    They are read as heights are: a column of numbers that are not negative.
    """
    try:
        found = read_vector(path, layer=layer, height_field=CONFIDENCE_FIELD).heights_m
    except UsageError:
        return None
    return found if found is not None and np.isfinite(found).any() else None


def _objects(
    frame: Frame, region: shapely.Geometry, file: VectorFile | None, mask: MaskLayer | None
) -> Objects:
    polygons: NDArray[np.object_]
    if mask is not None:
        return prepare_objects(mask.objects, region)
    assert file is not None  # a layer is a mask or a vector file
    polygons = frame.to_plane(file.geometries, file.crs)
    return prepare_objects(polygons, region, file.heights_m)
