"""The page: headline, scores, classes, plots, map and the worst places, in one HTML file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from buildext.atomic import atomic_path
from buildext.errors import UsageError
from buildext.evaluate.report.backdrop import Backdrop
from buildext.evaluate.report.chips import ChipMaker, worst_places
from buildext.evaluate.report.findings import Findings, findings_of
from buildext.evaluate.report.overview import VERDICTS, draw_map, map_pixel_m
from buildext.evaluate.report.plots import (
    draw_displacements,
    draw_f1_by_height,
    draw_f1_by_size,
    draw_precision_recall,
    draw_reliability,
)
from buildext.evaluate.report.tables import headline, protocol, score_tables
from buildext.evaluate.scores import Evaluation
from buildext.page.document import document, figure

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
    *,
    images: Sequence[Path] = (),
    overwrite: bool = False,
) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        evaluation: the scores, with the records of the buildings behind them.
        images: files of the image that the buildings are to be shown on; none: outlines alone.
        overwrite: replace an existing file.

    Raises:
        UsageError: see `require_drawing`.
        OutputError: the file cannot be written, or exists.
        InputError: the image cannot be read, or shows another place.
    """
    require_drawing()
    findings = findings_of(evaluation)
    title = f"{Path(evaluation.prediction).name} against {Path(evaluation.reference).name}"
    body = "\n".join(
        [
            f"<h1>{html.escape(title)}</h1>",
            headline(evaluation),
            score_tables(evaluation),
            "<h2>Where it fails</h2>",
            _plots(evaluation, findings),
            _pictures(findings, images),
            protocol(evaluation),
        ]
    )
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(document(title, body, style=_STYLE), encoding="utf-8")


def _plots(evaluation: Evaluation, findings: Findings) -> str:
    drawn = []
    for calibration, what in (
        (evaluation.confidence, "predictions"),
        (evaluation.probability, "pixels"),
    ):
        if calibration is not None:
            drawn += [
                figure(
                    draw_precision_recall(calibration, f"pr-{what}"),
                    f"Precision and recall as {what} of low confidence are left out.",
                ),
                figure(
                    draw_reliability(calibration, f"reliability-{what}"),
                    f"Share of {what} that are right, by confidence; on the dashed line confidence "
                    f"means what it says. Grey: how many {what}.",
                ),
            ]
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
    if evaluation.confidence is None:
        missing.append("The prediction has no field “confidence”: no curve over it.")
    if findings.heights_m is None:
        missing.append("Nothing tells heights (--height-field, --height-raster).")
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
