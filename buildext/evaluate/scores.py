"""Scores: everything that one comparison of two layers found, as plain values.

An `Evaluation` has three storeys. Scores of the whole extent come first; the same scores by group
follow (`classes` by height, `sizes`, `off_nadir`, `scenes`); at the bottom lie `buildings`, the
records of every building and every match, from which a report draws its maps, chips and plots. The
JSON holds all but the records.

Every ratio is None where its denominator is zero, so that "no such thing here" is never mistaken
for a zero. F1 = 2·TP / (2·TP + FP + FN) is defined as soon as anything was predicted or true, and
is 0 for an empty prediction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from buildext.evaluate.bins import Range
from buildext.evaluate.bootstrap import Interval
from buildext.evaluate.buildings import Buildings
from buildext.evaluate.calibration import Calibration
from buildext.evaluate.layers import Repair
from buildext.evaluate.shape_scores import ShapeScores
from buildext.evaluate.touching import TouchingScores

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class PixelScores:
    """Pooled scores of pixels: all counts of the extent in one sum."""

    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: Interval | None
    iou: float | None
    iou_interval: Interval | None


@dataclass(frozen=True, slots=True)
class TileMean:
    """Mean over tiles of each tile's F1; a tile without truth and prediction scores 1."""

    tiles: int
    f1: float | None
    f1_interval: Interval | None


@dataclass(frozen=True, slots=True)
class BoundaryScores:
    """Pooled scores of contour pixels within a tolerance; `iou` is the boundary IoU of bands."""

    tolerance_m: float
    pred_contour_px: int
    ref_contour_px: int
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: Interval | None
    iou: float | None
    iou_interval: Interval | None


@dataclass(frozen=True, slots=True)
class ObjectScores:
    """Scores of objects matched one to one; `count_error` = (predicted − true) / true."""

    min_iou: float
    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: Interval | None
    predicted: int
    true: int
    count_error: float | None


@dataclass(frozen=True, slots=True)
class LadderScores:
    """Object F1 at each IoU from 0.50 to 0.95 and its mean, F1@[0.5:0.95]."""

    min_iou: tuple[float, ...]
    f1: tuple[float | None, ...]
    mean_f1: float | None
    mean_f1_interval: Interval | None


@dataclass(frozen=True, slots=True)
class SegmentationScores:
    """Splits and merges.

    Attributes:
        split: true buildings found in two or more pieces (over-segmentation, one to many).
        pieces: predictions that are such pieces.
        merging: predictions that cover two or more true buildings (under-segmentation, many to
            one).
        merged: true buildings that are covered so.
    """

    split: int
    pieces: int
    merging: int
    merged: int


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one height class.

    Attributes:
        name: of the class.
        range_m: its heights; None for the buildings without one.
        pixels: pooled pixel scores.
        tile_mean: mean F1 of the tiles that hold the class.
        boundary_iou: of the bands of pixels charged to the class.
        objects: at the IoU asked for.
        ladder: objects at 0.50 to 0.95.
        shapes: of its matched pairs.
        segmentation: splits of its buildings, merges charged to it.
    """

    name: str
    range_m: Range | None
    pixels: PixelScores
    tile_mean: TileMean
    boundary_iou: float | None
    objects: ObjectScores
    ladder: LadderScores
    shapes: ShapeScores
    segmentation: SegmentationScores


@dataclass(frozen=True, slots=True)
class GroupScores:
    """Scores of one group by size, angle or scene.

    Attributes:
        name: of the group.
        limits: range of what is grouped by: m², or degrees; None for scenes.
        pixels: pooled pixel scores; None where the ground is not divided (by size).
        objects, ladder, shapes, segmentation: as in `ClassScores`.
    """

    name: str
    limits: Range | None
    pixels: PixelScores | None
    objects: ObjectScores
    ladder: LadderScores
    shapes: ShapeScores
    segmentation: SegmentationScores


@dataclass(frozen=True, slots=True)
class Extent:
    """What was scored, and on which grid."""

    source: str
    crs: str
    bounds: tuple[float, float, float, float]
    width_px: int
    height_px: int
    pixel_xy_m: tuple[float, float]
    scored_px: int
    scored_m2: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that one evaluation found.

    Attributes:
        prediction: the prediction's path as given.
        reference: the reference's path as given.
        extent: what was scored.
        settings: the options that change figures, resolved.
        pixels: pooled pixel scores.
        tile_mean: mean of tile F1.
        boundary: contour scores and boundary IoU.
        objects: one-to-one object scores at the IoU asked for.
        ladder: the same at IoU 0.50 to 0.95.
        objects_reliable: false where a layer was a mask, whose touching buildings are one object.
        shapes: how well the matched buildings are drawn.
        segmentation: splits and merges.
        touching: pairs of true buildings that touch; None where the truth is a mask.
        classes: scores of each height class, low to high, then `unknown`; empty without heights.
        sizes: scores by the area of the building, small to large.
        off_nadir: scores by the angle under which the ground was seen; empty where nobody told.
        scenes: scores by scene; empty where nobody told.
        confidence: calibration of the polygons' `confidence`; None without that field.
        probability: calibration of a probability raster; None without one.
        prediction_layer: what happened to the prediction's polygons.
        reference_layer: what happened to the reference's polygons.
        notes: what a reader of the figures should know.
        buildings: the records of all buildings; not in the JSON.
    """

    prediction: str
    reference: str
    extent: Extent
    settings: dict[str, object]
    pixels: PixelScores
    tile_mean: TileMean
    boundary: BoundaryScores
    objects: ObjectScores
    ladder: LadderScores
    objects_reliable: bool
    shapes: ShapeScores
    segmentation: SegmentationScores
    touching: TouchingScores | None
    classes: tuple[ClassScores, ...]
    sizes: tuple[GroupScores, ...]
    off_nadir: tuple[GroupScores, ...]
    scenes: tuple[GroupScores, ...]
    confidence: Calibration | None
    probability: Calibration | None
    prediction_layer: Repair
    reference_layer: Repair
    notes: tuple[str, ...]
    buildings: Buildings

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON-ready values, with its schema version and protocol."""
        values = {
            field.name: _plain(getattr(self, field.name))
            for field in fields(self)
            if field.name != "buildings"
        }
        return {"schema_version": SCHEMA_VERSION, "protocol": PROTOCOL, **values}


def _plain(value: Any) -> Any:
    """A dataclass, or a tuple of them, as dictionaries."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


PROTOCOL = {
    "pixels": "a pixel is building where its centre lies in a polygon; counts pooled over the "
    "extent",
    "tile_mean": "mean of F1 over the tiles of which at least half is scored; 1 for a tile without "
    "truth and prediction",
    "boundary": "contour pixels within the tolerance of the other layer's contour, pooled; iou: "
    "intersection over union of both layers' building pixels within the tolerance of their own "
    "contour, pooled",
    "objects": "one-to-one matching at IoU >= min_iou with the most matches, then the largest sum "
    "of IoUs (matching: optimal), or greedy in the order of confidence (matching: spacenet); "
    "objects with less than half of their area inside the extent count only where matched",
    "ladder": "object F1 at IoU >= 0.50, 0.55 ... 0.95, each matched anew, and the mean",
    "shapes": "averages over the pairs matched at min_iou",
    "segmentation": "two or more objects that lie at least half in one of the other layer and "
    "together cover at least half of it",
    "touching": "pairs of true buildings at most gap_m apart; found where a prediction covers at "
    "least half of each; apart where the two that cover most of them are different ones",
    "classes": "true pixels of the class against predictions inside that class's buildings plus "
    "the false positives nearest to it; a class's tile mean uses the tiles that hold the class",
    "sizes": "matches and misses by the area of the true building, false predictions by their own",
    "off_nadir, scenes": "by the tile of the ground that an object or a pixel lies in",
    "calibration": "ten bins of equal width; a polygon is right where it is matched at min_iou, a "
    "pixel where it is building",
    "intervals": "95 % percentile bootstrap over tiles",
}
