"""The evaluation as a table for a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from buildext.evaluate.bootstrap import Interval
from buildext.evaluate.calibration import Calibration
from buildext.evaluate.scores import ClassScores, Evaluation, GroupScores
from buildext.evaluate.shape_scores import ShapeScores
from buildext.evaluate.touching import TouchingScores

_NOTHING = "–"


def format_table(evaluation: Evaluation) -> RenderableType:
    """The evaluation as something that rich can print: what was scored, scores, classes, notes."""
    extent, objects = evaluation.extent, evaluation.objects
    gx, gy = extent.pixel_xy_m
    pixel = f"{gx:.3g} m" if abs(gx - gy) < 0.01 * gx else f"{gx:.3g} × {gy:.3g} m"
    head = Text(
        f"{evaluation.prediction} against {evaluation.reference}\n"
        f"scored: {extent.source}, {extent.width_px} × {extent.height_px} px of {pixel}, "
        f"{extent.scored_m2 / 1e6:.3g} km², {extent.crs}"
    )
    error = "" if objects.count_error is None else f" (count error {objects.count_error:+.1%})"
    counts = Text(f"buildings: {objects.predicted} predicted, {objects.true} true{error}")
    segmentation = evaluation.segmentation
    splits = Text(
        f"split: {segmentation.split} true buildings into {segmentation.pieces} predictions; "
        f"merged: {segmentation.merged} true buildings into {segmentation.merging} predictions"
    )
    parts: list[RenderableType] = [head, _main_table(evaluation), counts, splits]
    if evaluation.touching is not None and evaluation.touching.pairs:
        parts.append(Text(touching_line(evaluation.touching)))
    parts.extend(_shape_lines(evaluation.shapes))
    for calibration in (evaluation.confidence, evaluation.probability):
        if calibration is not None:
            parts.append(_calibration_line(calibration))
    if evaluation.classes:
        parts.append(_class_table(evaluation.classes))
    for title, groups in (
        ("by size", evaluation.sizes),
        ("by off-nadir angle", evaluation.off_nadir),
        ("by scene", evaluation.scenes),
    ):
        if groups:
            parts.append(_group_table(title, groups))
    parts.extend(Text(f"note: {note}", style="dim") for note in evaluation.notes)
    return Group(*parts)


def touching_line(touching: TouchingScores) -> str:
    """How many of the touching buildings were kept apart."""
    share = "" if touching.share is None else f" ({touching.share:.1%})"
    return (
        f"touching: {touching.apart:,} of {touching.found:,} pairs kept apart{share}; of "
        f"{touching.pairs - touching.found:,} more a building was not found"
    )


def _main_table(evaluation: Evaluation) -> Table:
    table = Table(box=SIMPLE_HEAD, collapse_padding=True)
    table.add_column("score", no_wrap=True)
    for column in ("precision", "recall", "F1", "95 %", "IoU"):
        table.add_column(column, justify="right", no_wrap=True)
    pixels, mean = evaluation.pixels, evaluation.tile_mean
    boundary, objects = evaluation.boundary, evaluation.objects
    table.add_row(
        "pixels, pooled",
        _figure(pixels.precision),
        _figure(pixels.recall),
        _figure(pixels.f1),
        _span(pixels.f1_interval),
        _figure(pixels.iou),
    )
    tile_row = (_NOTHING, _NOTHING, _figure(mean.f1), _span(mean.f1_interval), _NOTHING)
    table.add_row(f"pixels, mean of {mean.tiles} tiles", *tile_row)
    table.add_row(
        f"boundary within {boundary.tolerance_m:.2g} m",
        _figure(boundary.precision),
        _figure(boundary.recall),
        _figure(boundary.f1),
        _span(boundary.f1_interval),
        _figure(boundary.iou),
    )
    table.add_row(
        f"objects at IoU ≥ {objects.min_iou:g}" + ("" if evaluation.objects_reliable else " *"),
        _figure(objects.precision),
        _figure(objects.recall),
        _figure(objects.f1),
        _span(objects.f1_interval),
        _NOTHING,
    )
    ladder = evaluation.ladder
    table.add_row(
        "objects, IoU 0.50 to 0.95",
        *(_NOTHING, _NOTHING),
        _figure(ladder.mean_f1),
        _span(ladder.mean_f1_interval),
        _NOTHING,
    )
    return table


def _shape_lines(shapes: ShapeScores) -> list[Text]:
    """How well matched buildings are drawn."""
    if shapes.shift_east_north_m is None:
        return []
    east, north = shapes.shift_east_north_m
    lines = [
        f"outlines of {shapes.pairs} matched buildings, mean: IoU {_figure(shapes.iou.mean)}, "
        f"C-IoU {_figure(shapes.c_iou.mean)}, PoLiS {_short(shapes.polis_m.mean)} m, Hausdorff "
        f"{_short(shapes.hausdorff_m.mean)} m, tangent error {_short(shapes.mta_deg.mean, 1)}°, "
        f"vertex ratio {_short(shapes.vertex_ratio.mean)}",
        f"offset: {_short(shapes.shift_m.mean)} m mean, {_short(shapes.shift_m.median)} m median; "
        f"all together {east:+.2f} m east, {north:+.2f} m north",
    ]
    if shapes.step_error_m is not None:
        lines.append(
            f"roof-to-footprint step: off by {_short(shapes.step_error_m.mean)} m mean, "
            f"{_short(shapes.step_error_m.median)} m median"
        )
    return [Text(line) for line in lines]


def _calibration_line(calibration: Calibration) -> Text:
    best = calibration.best
    return Text(
        f"calibration of {calibration.count} {calibration.cases}: ECE {calibration.ece:.3f}; F1 is "
        f"greatest, {best.f1:.3f}, from {best.threshold:.3g}"
    )


def _group_table(title: str, groups: tuple[GroupScores, ...]) -> Table:
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, padding=0
    )
    table.add_column("group", no_wrap=True)
    columns = ("true", "pixel\nF1", "object\nrecall", "object\nF1", "95 %", "PoLiS\nm", "offset\nm")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for group in groups:
        objects = group.objects
        table.add_row(
            group.name,
            str(objects.true),
            _NOTHING if group.pixels is None else _figure(group.pixels.f1),
            _figure(objects.recall),
            _figure(objects.f1),
            _span(objects.f1_interval),
            _short(group.shapes.polis_m.mean),
            _short(group.shapes.shift_m.mean),
        )
    return table


def _class_table(classes: tuple[ClassScores, ...]) -> Table:
    table = Table(
        title="by height class",
        title_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        padding=0,
    )
    table.add_column("class", no_wrap=True)
    for column in (
        "true",
        "pixel\nrecall",
        "pixel\nF1",
        "95 %",
        "tile\nF1",
        "object\nrecall",
        "object\nF1",
        "offset\nm",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for scores in classes:
        pixels, objects = scores.pixels, scores.objects
        table.add_row(
            _class_name(scores),
            str(objects.true),
            _figure(pixels.recall),
            _figure(pixels.f1),
            _span(pixels.f1_interval),
            _figure(scores.tile_mean.f1),
            _figure(objects.recall),
            _figure(objects.f1),
            _short(scores.shapes.shift_m.mean),
        )
    return table


def _class_name(scores: ClassScores) -> str:
    """The name, with its limits where the name does not hold them."""
    if scores.range_m is None or scores.name.endswith(" m"):
        return scores.name
    low, high = scores.range_m
    return f"{scores.name} {low:g}–{high:g} m" if high else f"{scores.name} ≥ {low:g} m"


def _figure(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3f}"


def _short(value: float | None, digits: int = 2) -> str:
    return _NOTHING if value is None else f"{value:.{digits}f}"


def _span(interval: Interval | None) -> str:
    return _NOTHING if interval is None else f"{interval.low:.3f}–{interval.high:.3f}"
