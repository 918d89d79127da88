"""The page's figures as facts and tables."""

from __future__ import annotations

import html

from buildext import __version__
from buildext.evaluate.bootstrap import Interval
from buildext.evaluate.scores import ClassScores, Evaluation, GroupScores
from buildext.evaluate.table import touching_line
from buildext.page.document import Cell, Row, facts, number_cell, table, text_cell

_NOTHING = Cell("–")


def headline(evaluation: Evaluation) -> str:
    """The figures that one asks for first, what was scored, and what to know about it."""
    extent, objects = evaluation.extent, evaluation.objects
    gx, gy = extent.pixel_xy_m
    pixel = f"{gx:.3g} m" if abs(gx - gy) < 0.01 * gx else f"{gx:.3g} × {gy:.3g} m"
    pairs = [
        ("pixel F1", _figure(evaluation.pixels.f1)),
        ("pixel IoU", _figure(evaluation.pixels.iou)),
        ("boundary F1", _figure(evaluation.boundary.f1)),
        (f"object F1, IoU ≥ {objects.min_iou:g}", _figure(objects.f1)),
        ("true buildings", f"{objects.true:,}"),
        ("predicted", f"{objects.predicted:,}"),
        ("scored", _area(extent.scored_m2)),
    ]
    about = (
        f"Scored on {extent.source}: {extent.width_px} × {extent.height_px} pixels of {pixel}, "
        f"{extent.crs}."
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in evaluation.notes)
    listed = f'<ul class="soft">{notes}</ul>' if notes else ""
    return f'{facts(pairs)}<p class="soft">{html.escape(about)}</p>{listed}'


def score_tables(evaluation: Evaluation) -> str:
    """Scores of the whole extent, then by height, size, angle and scene."""
    parts = ["<h2>Scores</h2>", _whole(evaluation), _outlines(evaluation)]
    if evaluation.classes:
        parts += ["<h2>By height</h2>", _classes(evaluation.classes)]
    for title, groups in (
        ("By size", evaluation.sizes),
        ("By off-nadir angle", evaluation.off_nadir),
        ("By scene", evaluation.scenes),
    ):
        if groups:
            parts += [f"<h2>{title}</h2>", _groups(groups)]
    return "\n".join(parts)


def _whole(evaluation: Evaluation) -> str:
    pixels, mean, ladder = evaluation.pixels, evaluation.tile_mean, evaluation.ladder
    boundary, objects = evaluation.boundary, evaluation.objects
    unreliable = "" if evaluation.objects_reliable else " (unreliable, see above)"
    rows = [
        [
            *_row("pixels, pooled", pixels.precision, pixels.recall, pixels.f1, pixels.f1_interval),
            _cell(pixels.iou),
            Cell(_span(pixels.iou_interval)),
        ],
        _row(f"pixels, mean of {mean.tiles} tiles", None, None, mean.f1, mean.f1_interval),
        [
            *_row(
                f"boundary within {boundary.tolerance_m:.2g} m",
                boundary.precision,
                boundary.recall,
                boundary.f1,
                boundary.f1_interval,
            ),
            _cell(boundary.iou),
            Cell(_span(boundary.iou_interval)),
        ],
        _row(
            f"objects at IoU ≥ {objects.min_iou:g}{unreliable}",
            objects.precision,
            objects.recall,
            objects.f1,
            objects.f1_interval,
        ),
        _row(
            "objects, mean of IoU ≥ 0.5 … 0.95",
            None,
            None,
            ladder.mean_f1,
            ladder.mean_f1_interval,
        ),
    ]
    heads = ["score", "precision", "recall", "F1", "95 % interval", "IoU", "95 % interval"]
    return table(heads, [Row([*cells, *[_NOTHING] * (len(heads) - len(cells))]) for cells in rows])


def _row(
    name: str,
    precision: float | None,
    recall: float | None,
    f1: float | None,
    interval: Interval | None,
) -> list[Cell]:
    return [text_cell(name), *map(_cell, (precision, recall, f1)), Cell(_span(interval))]


def _outlines(evaluation: Evaluation) -> str:
    """How well matched buildings are drawn, and what was torn apart or run together."""
    shapes, parts = evaluation.shapes, evaluation.segmentation
    lines = [
        ("IoU", shapes.iou, ".3f"),
        ("C-IoU", shapes.c_iou, ".3f"),
        ("PoLiS, m", shapes.polis_m, ".2f"),
        ("Hausdorff distance, m", shapes.hausdorff_m, ".2f"),
        ("max tangent angle error, °", shapes.mta_deg, ".1f"),
        ("vertex ratio", shapes.vertex_ratio, ".2f"),
        ("step between centroids, m", shapes.shift_m, ".2f"),
        ("roof-to-footprint step: error, m", shapes.step_error_m, ".2f"),
    ]
    rows = [
        Row(
            [
                text_cell(name),
                *(
                    _NOTHING if value is None else number_cell(value, format(value, form))
                    for value in (average.mean, average.median)
                ),
                Cell(_span(average.interval, form)),
            ]
        )
        for name, average, form in lines
        if average is not None and average.mean is not None
    ]
    told = (
        f"{parts.split:,} true buildings are split into {parts.pieces:,} predictions; "
        f"{parts.merging:,} predictions merge {parts.merged:,} true buildings."
    )
    if evaluation.touching is not None and evaluation.touching.pairs:
        told += f" {touching_line(evaluation.touching).capitalize()}."
    if not rows:
        return f"<p>{told}</p>"
    heads = [f"outlines of {shapes.pairs:,} matched buildings", "mean", "median"]
    return f"<p>{told}</p>" + table([*heads, "95 % of the mean"], rows)


def _classes(classes: tuple[ClassScores, ...]) -> str:
    rows = [
        Row(
            [
                text_cell(_class_name(scores)),
                number_cell(scores.objects.true, f"{scores.objects.true:,}"),
                *map(_cell, (scores.pixels.precision, scores.pixels.recall, scores.pixels.f1)),
                Cell(_span(scores.pixels.f1_interval)),
                *map(_cell, (scores.tile_mean.f1, scores.boundary_iou)),
                *map(_cell, (scores.objects.precision, scores.objects.recall, scores.objects.f1)),
                _metres(scores.shapes.shift_m.mean),
            ],
            kind="" if scores.objects.true else "out",
        )
        for scores in classes
    ]
    heads = ["class", "true", "pixel precision", "recall", "F1", "95 % interval", "tile-mean F1"]
    heads += ["boundary IoU", "object precision", "recall", "F1", "offset, m"]
    return table(heads, rows)


def _groups(groups: tuple[GroupScores, ...]) -> str:
    rows = [
        Row(
            [
                text_cell(group.name),
                number_cell(group.objects.true, f"{group.objects.true:,}"),
                _cell(None if group.pixels is None else group.pixels.f1),
                *map(_cell, (group.objects.precision, group.objects.recall, group.objects.f1)),
                Cell(_span(group.objects.f1_interval)),
                _metres(group.shapes.polis_m.mean),
                _metres(group.shapes.shift_m.mean),
            ],
            kind="" if group.objects.true else "out",
        )
        for group in groups
    ]
    heads = ["group", "true", "pixel F1", "object precision", "recall", "F1", "95 % interval"]
    return table([*heads, "PoLiS, m", "offset, m"], rows)


def protocol(evaluation: Evaluation) -> str:
    """How the figures came about: the same words as in the JSON."""
    told = evaluation.to_json()
    sections = [("protocol", told["protocol"]), ("settings", told["settings"])]
    sections += [(f"{name} layer", told[f"{name}_layer"]) for name in ("prediction", "reference")]
    rows = [
        Row([text_cell(section), text_cell(str(key)), text_cell(str(value), "text wrap")])
        for section, values in sections
        for key, value in values.items()
    ]
    files = (
        f"Prediction: {evaluation.prediction}. Reference: {evaluation.reference}. "
        f"Made by buildext {__version__}, scores of schema {told['schema_version']}."
    )
    return (
        f"<h2>How it was scored</h2><p>{html.escape(files)}</p><details><summary>Protocol and "
        f"settings</summary>{table(['', 'name', 'value'], rows)}</details>"
    )


def _class_name(scores: ClassScores) -> str:
    """The name, with its limits where the name does not hold them."""
    if scores.range_m is None or scores.name.endswith(" m"):
        return scores.name
    low, high = scores.range_m
    return f"{scores.name} {low:g}–{high:g} m" if high else f"{scores.name} ≥ {low:g} m"


def _area(square_m: float) -> str:
    return f"{square_m / 1e6:.3g} km²" if square_m >= 1e5 else f"{square_m / 1e4:.3g} ha"


def _cell(value: float | None) -> Cell:
    return number_cell(value, _figure(value))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _metres(value: float | None) -> Cell:
    return _NOTHING if value is None else number_cell(value, f"{value:.2f}")


def _span(interval: Interval | None, form: str = ".3f") -> str:
    if interval is None:
        return "–"
    return f"{format(interval.low, form)}–{format(interval.high, form)}"
