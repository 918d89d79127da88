"""Sides: prediction and reference in the scored region, whatever files they came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.errors import LabelError, UsageError
from buildext.evaluate.classes import HeightClasses
from buildext.evaluate.frame import Frame
from buildext.evaluate.heights import sample_heights_m
from buildext.evaluate.layers import Layer, Objects, PolygonLayer, prepare_objects
from buildext.evaluate.masks import MaskLayer, is_raster
from buildext.evaluate.options import EvaluateOptions
from buildext.evaluate.vectors import VectorFile, read_vector

Floats = NDArray[np.float64]

CONFIDENCE_FIELD = "confidence"
STEP_FIELDS = ("east_m", "north_m")


@dataclass(frozen=True, slots=True)
class Side:
    """Prediction or reference in the scored region.

    Attributes:
        layer: its pixels.
        objects: its objects.
        heights_m: `(N,)` of the objects; None where nobody told.
        confidence: `(N,)` of the objects, 0–1; None without that field.
        step_m: `(N, 2)` step from roof to footprint, east and north; None without these fields.
    """

    layer: Layer
    objects: Objects
    heights_m: Floats | None = None
    confidence: Floats | None = None
    step_m: Floats | None = None


def check_masks(pred: Path, ref: Path, options: EvaluateOptions) -> None:
    """Refuse options that need polygons where a file is a mask.

    Raises:
        UsageError: a layer of a mask, or heights of its objects, was asked for.
    """
    for path, layer, name in (
        (pred, options.layer, "layer"),
        (ref, options.ref_layer, "ref-layer"),
    ):
        if layer is not None and is_raster(path):
            raise UsageError(f"{path} is a mask, which has no layers", hint=f"leave out --{name}")
    if not is_raster(ref):
        return
    if options.height_field is not None:
        raise UsageError(
            f"{ref} is a mask, which has no field {options.height_field}",
            hint="height classes need reference polygons with a height field",
        )
    if options.height_raster is not None:
        raise UsageError(
            f"{ref} is a mask, whose touching buildings would share one height",
            hint="height classes need reference polygons",
        )


def read_prediction(path: Path, options: EvaluateOptions) -> VectorFile | None:
    """The predicted polygons; None for a mask."""
    if is_raster(path):
        return None
    return read_vector(path, layer=options.layer, optional=(CONFIDENCE_FIELD, *STEP_FIELDS))


def read_reference(path: Path, options: EvaluateOptions) -> VectorFile | None:
    """The true polygons; None for a mask.

    Raises:
        LabelError: there are none.
    """
    if is_raster(path):
        return None
    file = read_vector(
        path, layer=options.ref_layer, height_field=options.height_field, optional=STEP_FIELDS
    )
    if len(file.geometries) == 0:
        raise LabelError(f"{path} holds no polygon", hint="give a reference with buildings")
    return file


def make_side(
    frame: Frame,
    file: VectorFile | None,
    mask: MaskLayer | None,
    region: shapely.Geometry,
    options: EvaluateOptions,
    *,
    truth: bool,
) -> Side:
    """One of the two layers, from its polygons or from its mask.

    Args:
        frame: the scored grid.
        file: the polygons, or None.
        mask: the mask, or None.
        region: what is scored, in the ground plane.
        options: with the limits of the classes and the raster of heights.
        truth: whether it is the reference, which alone has heights.
    """
    if mask is not None:
        return Side(mask, prepare_objects(mask.objects, region))
    assert file is not None  # a layer is a mask or a vector file
    heights_m = file.heights_m
    if truth and options.height_raster is not None:
        heights_m = sample_heights_m(options.height_raster, file.geometries, file.crs)
    objects = prepare_objects(frame.to_plane(file.geometries, file.crs), region, heights_m)
    classes = None
    if heights_m is not None:
        heights_m = heights_m[objects.index]
        classes = HeightClasses(options.class_limits_m).assign(heights_m)
    confidence = file.fields.get(CONFIDENCE_FIELD)
    steps = [file.fields[name] for name in STEP_FIELDS if name in file.fields]
    return Side(
        layer=PolygonLayer(frame, objects.polygons, classes),
        objects=objects,
        heights_m=heights_m,
        confidence=None if confidence is None else confidence[objects.index],
        step_m=np.column_stack(steps)[objects.index] if len(steps) == 2 else None,
    )
