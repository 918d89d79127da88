"""The page: headline, scores, classes, plots, map and the worst places, in one HTML file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from buildext.atomic import atomic_path
from buildext.errors import UsageError
from buildext.evaluate.bootstrap import Interval
from buildext.evaluate.report.backdrop import Backdrop
from buildext.evaluate.report.chips import ChipMaker, worst_places
from buildext.evaluate.report.findings import Findings
from buildext.evaluate.report.overview import VERDICTS, draw_map, map_pixel_m
from buildext.evaluate.report.plots import (
    draw_displacements,
    draw_f1_by_height,
    draw_f1_by_size,
    draw_precision_recall,
    draw_reliability,
)
from buildext.evaluate.scores import ClassScores, Evaluation
from buildext.page.document import (
    Cell,
    Row,
    document,
    facts,
    figure,
    number_cell,
    table,
    text_cell,
)

_STYLE = """
.plots { display: grid; gap: 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); }
.plots figure { margin: 0; }
@media (min-width: 60rem) { .plots .wide { grid-column: span 2; } }
svg.map { border-radius: 8px; max-height: 62rem; overflow: hidden; }
.map rect { fill: none; stroke: #fff; stroke-width: 1.6px; vector-effect: non-scaling-stroke; }
.map text { fill: #fff; font-weight: 700; paint-order: stroke; stroke: #000; stroke-width: 3px;
  stroke-linejoin: round; }
.map a:hover rect { stroke: #ff0; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: 0; list-style: none;
  font-size: .9rem; max-width: none; }
.legend i { display: inline-block; width: .85rem; height: .85rem; border-radius: 3px;
  margin-right: .4rem; vertical-align: -.1rem; }
.chips { grid-template-columns: repeat(auto-fill, minmax(min(34rem, 100%), 1fr)); }
.chips svg { flex: 1; min-width: 0; aspect-ratio: 1; border-radius: 4px; background: #262c33; }
.chips figure:target { outline: 3px solid var(--link); }
.chips path { fill-opacity: .1; fill-rule: evenodd; stroke-width: 1.4px; stroke-linejoin: round;
  vector-effect: non-scaling-stroke; }
.chips path.focus { fill-opacity: .3; stroke-width: 2.8px; }
"""


def require_drawing() -> None:
    """Refuse early where what draws the page is not installed.

    Raises:
        UsageError: matplotlib or Pillow is missing.
    """
    missing = [
        name
        for name, module in (("matplotlib", "matplotlib"), ("Pillow", "PIL"))
        if find_spec(module) is None
    ]
    if missing:
        raise UsageError(
            f"a report needs {' and '.join(missing)}, not installed here",
            hint='pip install "buildext[report]"',
        )


def write_report(
    path: Path,
    evaluation: Evaluation,
    findings: Findings,
    *,
    images: Sequence[Path] = (),
    overwrite: bool = False,
) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        evaluation: the scores.
        findings: the buildings behind them.
        images: files of the image that the buildings are to be shown on; none: outlines alone.
        overwrite: replace an existing file.

    Raises:
        UsageError: see `require_drawing`.
        OutputError: the file cannot be written, or exists.
        InputError: the image cannot be read, or shows another place.
    """
    require_drawing()
    title = f"{Path(evaluation.prediction).name} against {Path(evaluation.reference).name}"
    body = "\n".join(
        [
            f"<h1>{html.escape(title)}</h1>",
            _headline(evaluation),
            "<h2>Scores</h2>",
            _score_table(evaluation),
            _class_section(evaluation),
            "<h2>Where it fails</h2>",
            _plots(evaluation, findings),
            _pictures(findings, images),
            _protocol(evaluation),
        ]
    )
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(document(title, body, style=_STYLE), encoding="utf-8")


def _headline(evaluation: Evaluation) -> str:
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


def _score_table(evaluation: Evaluation) -> str:
    pixels, mean = evaluation.pixels, evaluation.tile_mean
    boundary, objects = evaluation.boundary, evaluation.objects
    unreliable = "" if evaluation.objects_reliable else " (unreliable, see above)"
    lines = [
        ("pixels, pooled", pixels.precision, pixels.recall, pixels.f1, pixels.f1_interval),
        (f"pixels, mean of {mean.tiles} tiles", None, None, mean.f1, mean.f1_interval),
        (
            *(f"boundary within {boundary.tolerance_m:.2g} m", boundary.precision),
            *(boundary.recall, boundary.f1, boundary.f1_interval),
        ),
        (
            *(f"objects at IoU ≥ {objects.min_iou:g}{unreliable}", objects.precision),
            *(objects.recall, objects.f1, objects.f1_interval),
        ),
    ]
    rows = [
        Row([text_cell(name), _cell(precision), _cell(recall), _cell(f1), Cell(_span(interval))])
        for name, precision, recall, f1, interval in lines
    ]
    return table(["score", "precision", "recall", "F1", "95 % interval"], rows)


def _class_section(evaluation: Evaluation) -> str:
    if not evaluation.classes:
        return ""
    rows = []
    for scores in evaluation.classes:
        pixels, objects = scores.pixels, scores.objects
        rows.append(
            Row(
                [
                    text_cell(_class_name(scores)),
                    number_cell(objects.true, f"{objects.true:,}"),
                    *map(_cell, (pixels.precision, pixels.recall, pixels.f1)),
                    Cell(_span(pixels.f1_interval)),
                    _cell(scores.tile_mean.f1),
                    *map(_cell, (objects.precision, objects.recall, objects.f1)),
                ],
                kind="" if objects.true else "out",
            )
        )
    heads = ["class", "true", "pixel precision", "recall", "F1", "95 % interval", "tile-mean F1"]
    heads += ["object precision", "recall", "F1"]
    return "<h2>By height</h2>" + table(heads, rows)


def _plots(evaluation: Evaluation, findings: Findings) -> str:
    drawn = []
    if findings.confidence is not None and len(findings.pred):
        drawn.append(
            figure(
                draw_precision_recall(findings),
                "Precision and recall of buildings as predictions of low confidence are left out.",
            )
        )
        drawn.append(
            figure(
                draw_reliability(findings),
                "Share of predictions that match, by their confidence, with 95 % intervals; on "
                "the dashed line confidence means what it says. Grey: how many predictions.",
            )
        )
    if findings.heights_m is not None and (findings.heights_m >= 0).any():
        limits = evaluation.settings["class_limits_m"]
        assert isinstance(limits, list)
        drawn.append(
            figure(
                draw_f1_by_height(findings, tuple(limits)),
                "Object F1 by height, in bins of about equally many buildings; dotted: the limits "
                "of the classes.",
            )
        )
    drawn.append(
        figure(
            draw_f1_by_size(findings),
            "Object F1 by area, in bins of about equally many buildings.",
        )
    )
    steps = draw_displacements(findings)
    if steps:
        caption = (
            "From the true centroid to the predicted one, of pairs that are each other's largest "
            "overlap. Orange: medians. A heap beside the origin is a shift of the whole layer."
        )
        drawn.append(figure(steps, caption).replace("<figure>", '<figure class="wide">', 1))
    missing = []
    if findings.confidence is None:
        missing.append("The prediction has no field “confidence”: no curve over it.")
    if findings.heights_m is None:
        missing.append("No height field was named (--height-field): nothing by height.")
    notes = "".join(f'<p class="soft">{text}</p>' for text in missing)
    return f'<div class="plots">{"".join(drawn)}</div>{notes}'


def _pictures(findings: Findings, images: Sequence[Path]) -> str:
    places = worst_places(findings)
    with Backdrop(findings.frame, images, map_pixel_m(findings)) as backdrop:
        overview = draw_map(findings, backdrop, places)
    with Backdrop(findings.frame, images) as backdrop:
        maker = ChipMaker(findings, backdrop)
        chips = "".join(maker.draw(place, n) for n, place in enumerate(places, start=1))
    counts = (
        int((~findings.pred.unmatched).sum()),
        int((findings.ref.unmatched & ~findings.ref.several).sum()),
        int((findings.pred.unmatched & ~findings.pred.several).sum()),
        int(findings.ref.several.sum()),
        int(findings.pred.several.sum()),
    )
    legend = "".join(
        f'<li><i style="background:{verdict.colour}"></i>{count:,} {verdict.text}</li>'
        for verdict, count in zip(VERDICTS, counts, strict=True)
    )
    parts = [
        "<h2>Map of errors</h2>",
        f'<ul class="legend">{legend}</ul>',
        figure(overview, "Numbered frames are the places below; click one to go there."),
    ]
    if places:
        parts += [
            f"<h2>The {len(places)} worst places</h2>",
            "<p>In the order of wrong area: all of an unmatched building; of a matched one, what "
            "only one of the two outlines covers. The building in question is drawn stronger. "
            "Green is matched, blue missed, orange false.</p>",
            f'<div class="tiles chips">{chips}</div>',
        ]
    else:
        parts.append("<p>Nothing is wrong anywhere.</p>")
    return "\n".join(parts)


def _protocol(evaluation: Evaluation) -> str:
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
        f"Scores of schema {told['schema_version']}."
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


def _span(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.low:.3f}–{interval.high:.3f}"
