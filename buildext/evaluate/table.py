"""The evaluation as a table for a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from buildext.evaluate.bootstrap import Interval
from buildext.evaluate.scores import ClassScores, Evaluation

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
    parts: list[RenderableType] = [head, _main_table(evaluation), counts]
    if evaluation.classes:
        parts.append(_class_table(evaluation.classes))
    parts.extend(Text(f"note: {note}", style="dim") for note in evaluation.notes)
    return Group(*parts)


def _main_table(evaluation: Evaluation) -> Table:
    table = Table(box=SIMPLE_HEAD, collapse_padding=True)
    table.add_column("score", no_wrap=True)
    for column in ("precision", "recall", "F1", "F1 95 %", "IoU"):
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
        _NOTHING,
    )
    table.add_row(
        f"objects at IoU ≥ {objects.min_iou:g}" + ("" if evaluation.objects_reliable else " *"),
        _figure(objects.precision),
        _figure(objects.recall),
        _figure(objects.f1),
        _span(objects.f1_interval),
        _NOTHING,
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


def _span(interval: Interval | None) -> str:
    return _NOTHING if interval is None else f"{interval.low:.3f}–{interval.high:.3f}"
