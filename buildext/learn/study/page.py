"""The study's page: one HTML file with every figure and table, made from the records alone."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildext.atomic import atomic_path
from buildext.learn.study.design import Design
from buildext.learn.study.latency import Latency
from buildext.learn.study.outcome import StageOutcome
from buildext.learn.study.plots import Point, draw_costs, draw_ranking
from buildext.learn.study.ranking import ArmResult, Comparison, Estimate
from buildext.learn.study.record import HELD_OUT_SCORE, RunRecord
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

PAGE_FILE = "study.html"
ALPHA = 0.05


def write_page(
    path: Path,
    design: Design,
    stages: Sequence[StageOutcome],
    latencies: Mapping[str, Latency | None],
) -> None:
    """Write the page.

    Args:
        path: of the HTML file; an older page is replaced.
        design: of the study.
        stages: as far as they are known.
        latencies: by the key of a run.
    """
    title = design.study.title or f"Study: {design.study.name}"
    parts = [f"<h1>{html.escape(title)}</h1>", _summary(design, stages), _reading(design, stages)]
    for number, outcome in enumerate(stages, start=1):
        parts.append(_stage(design, outcome, number, latencies))
    unknown = design.stages[len(stages) :]
    if unknown:
        names = ", ".join(html.escape(stage.name) for stage in unknown)
        parts.append(f'<p class="soft">Not begun: {names}.</p>')
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(document(title, "\n".join(parts)), encoding="utf-8")


def _summary(design: Design, stages: Sequence[StageOutcome]) -> str:
    runs = {r.key: r for o in stages for a in o.results for r in a.runs.values() if r is not None}
    planned = sum(len(a.runs) for o in stages for a in o.results)
    done = sum(r is not None for o in stages for a in o.results for r in a.runs.values())
    hours = sum(r.seconds or 0.0 for r in runs.values()) / 3600
    return facts(
        [
            ("score", f"F1, {design.study.metric}"),
            ("stages", f"{len(stages)} of {len(design.stages)}"),
            ("runs", f"{done} of {planned}"),
            ("trainings", f"{len(runs)} ({hours:.1f} h)"),
            ("failed", str(sum(r.status == "failed" for r in runs.values()))),
            ("not trained", str(sum(r.trained is False for r in runs.values()))),
        ]
    )


def _reading(design: Design, stages: Sequence[StageOutcome]) -> str:
    """How the page is to be read."""
    percent = f"{100 * design.study.confidence:g} %"
    single = [o.section.name for o in stages if len(design.seeds(o.section)) == 1]
    texts = [
        f"± is half the {percent} Student-t interval of the mean over seeds.",
        "A run counts as trained if, on its own held-out blocks, it beats the best threshold on "
        "one colour feature (brightness, a channel, saturation, excess green, differences of "
        "channels), chosen on its training tiles. Arms with a run that failed or does not beat it "
        "have no rank; “over colour” is the smallest margin of an arm's runs.",
        "Click a column's head to sort. Points of a figure lead to their row, and the seeds "
        "under “records” to each run's record with its whole config.",
    ]
    if single:
        names = ", ".join(single)
        texts.insert(
            1,
            f"One seed only in: {names}. There, no interval can be given, and differences of the "
            "size that another seed would make mean nothing.",
        )
    return "".join(f"<p>{html.escape(text)}</p>\n" for text in texts)


def _stage(
    design: Design, outcome: StageOutcome, number: int, latencies: Mapping[str, Latency | None]
) -> str:
    metric = design.study.metric
    parts = [f'<h2 id="stage{number}">{number}. {html.escape(outcome.section.name)}</h2>']
    if outcome.section.set:
        shared = ", ".join(f"{k} = {v}" for k, v in outcome.section.set.items())
        parts.append(f'<p class="soft">In this stage: {html.escape(shared)}.</p>')
    points = [
        _point(arm, f"#s{number}a{i}", latencies) for i, arm in enumerate(outcome.results, start=1)
    ]
    if any(point.arm.score is not None for point in points):
        parts.append(
            figure(
                draw_ranking(points, metric, f"ranking{number}"),
                "Mean over seeds with its interval; crosses are single runs. Grey arms have no "
                "rank. The dashed line is the mean of the colour thresholds.",
            )
        )
        costs = draw_costs(points, metric, f"costs{number}")
        if costs:
            parts.append(
                figure(
                    costs,
                    "Score against cost, on logarithmic axes. The line joins the arms that no "
                    "cheaper one beats.",
                )
            )
    parts += [_grid(outcome), _arms(points, metric)]
    if outcome.comparisons:
        parts.append(_comparisons(outcome.comparisons, design))
    if outcome.kept:
        names = ", ".join(arm.label for arm in outcome.kept)
        parts.append(f"<p>Kept: <b>{html.escape(names)}</b>.</p>")
    elif not outcome.complete:
        parts.append('<p class="soft">This stage is not complete.</p>')
    return "\n".join(parts)


def _point(arm: ArmResult, address: str, latencies: Mapping[str, Latency | None]) -> Point:
    done = [run for run in arm.runs.values() if run is not None and run.status == "done"]
    if not done:
        return Point(arm, address, None, None, None)
    return Point(arm, address, done[0].parameters, done[0].macs_256, latencies.get(done[0].key))


def _arms(points: Sequence[Point], metric: str) -> str:
    latent = [point.latency for point in points if point.latency is not None]
    gpu = any(latency.gpu_ms is not None for latency in latent)
    heads = ["rank", "arm", f"F1, {metric}", "seeds", "over colour"]
    heads += ["params, M", "MACs, G"]
    heads += (["CPU, ms"] if latent else []) + (["GPU, ms"] if gpu else [])
    heads += ["minutes", "records", "remark"]
    rows = []
    for point in points:
        arm, latency = point.arm, point.latency
        seeds = arm.score.seeds if arm.score else 0
        cells = [
            number_cell(arm.rank, str(arm.rank)),
            text_cell(arm.label),
            _estimate_cell(arm.score),
            number_cell(seeds, str(seeds)),
            _margin_cell(arm),
            _scaled_cell(point.parameters, 1e6),
            _scaled_cell(point.macs_256, 1e9),
        ]
        if latent:
            cells.append(_scaled_cell(latency.cpu_ms if latency else None, 1, ".1f"))
        if gpu:
            cells.append(_scaled_cell(latency.gpu_ms if latency else None, 1))
        seconds = [r.seconds for r in arm.runs.values() if r and r.seconds is not None]
        minutes = sum(seconds) / 60 if seconds else None
        cells.append(_scaled_cell(minutes, 1, ".1f"))
        cells += [Cell(_links(arm), kind="text"), text_cell(arm.remark, "text wrap remark")]
        kind = "" if arm.rank is not None else "out"
        rows.append(Row(cells, point.address.removeprefix("#"), kind))
    text = table(heads, rows, sortable=True)
    if latent:
        text += f'<p class="soft">{html.escape(_measured_with(latent))}</p>'
    return text


def _links(arm: ArmResult) -> str:
    """Links to the records of an arm's runs, named by seed."""
    return " ".join(
        f'<a href="records/{run.key}.json">{seed}</a>' if run is not None else f"{seed}"
        for seed, run in arm.runs.items()
    )


def _measured_with(latencies: Sequence[Latency]) -> str:
    cpus = sorted({f"{one.engine}, {one.threads} thread(s)" for one in latencies})
    text = f"CPU: median for one {latencies[0].tile_px} px tile at a time, {'; '.join(cpus)}."
    gpus = sorted({one.gpu for one in latencies if one.gpu})
    return text + (f" GPU: torch bf16, {'; '.join(gpus)}." if gpus else "")


def _margin_cell(arm: ArmResult) -> Cell:
    """The smallest distance of a run's held-out score from its colour threshold."""
    margins = [margin for run in arm.runs.values() if (margin := _margin(run)) is not None]
    if not margins:
        return Cell("–")
    kind = "good" if min(margins) > 0 else "bad"
    return Cell(f"{min(margins):+.3f}", f"{min(margins):.6f}", kind)


def _margin(run: RunRecord | None) -> float | None:
    if run is None or run.baseline is None or HELD_OUT_SCORE not in run.scores:
        return None
    return run.scores[HELD_OUT_SCORE] - run.baseline


def _grid(outcome: StageOutcome) -> str:
    """Means of a stage with two factors of several levels as a square table; else nothing."""
    factors = [
        key
        for key in (outcome.results[0].levels if outcome.results else {})
        if len({arm.levels[key] for arm in outcome.results}) > 1
    ]
    if len(factors) != 2:
        return ""
    means = {tuple(arm.levels[key] for key in factors): arm for arm in outcome.results if arm.score}
    rows_of, columns_of = (
        list(dict.fromkeys(arm.levels[key] for arm in outcome.arms)) for key in factors
    )
    scores = [arm.score.mean for arm in means.values() if arm.score is not None]
    if not scores or min(len(rows_of), len(columns_of)) < 2:
        return ""
    low, high = min(scores), max(scores)
    rows = []
    for first in rows_of:
        cells = [text_cell(first)]
        for second in columns_of:
            arm = means.get((first, second))
            if arm is None or arm.score is None:
                cells.append(Cell("–"))
                continue
            share = (arm.score.mean - low) / (high - low) if high > low else 0.5
            style = f"background: rgba(58, 134, 200, {0.05 + 0.5 * share:.2f})"
            shown = f"{arm.score.mean:.3f}" + ("" if arm.rank is not None else " *")
            cells.append(Cell(shown, f"{arm.score.mean:.6f}", style=style))
        rows.append(Row(cells))
    heads = [f"{factors[0]} \\ {factors[1]}", *columns_of]
    return f"<h3>Means</h3>{table(heads, rows)}<p class='soft'>* has no rank.</p>"


def _comparisons(comparisons: Sequence[Comparison], design: Design) -> str:
    percent = f"{100 * design.study.confidence:g} %"
    rows = []
    for one in comparisons:
        interval = _signed(one.difference)
        clear = one.p_adjusted < ALPHA
        verdict = ("better" if one.difference.mean > 0 else "worse") if clear else "not shown"
        kind = ("good" if one.difference.mean > 0 else "bad") if clear else "remark"
        rows.append(
            Row(
                [
                    text_cell(one.arm),
                    text_cell(one.reference),
                    Cell(interval, f"{one.difference.mean:.6f}"),
                    number_cell(one.difference.seeds, str(one.difference.seeds)),
                    number_cell(one.p, f"{one.p:.4f}"),
                    number_cell(one.p_adjusted, f"{one.p_adjusted:.4f}"),
                    text_cell(verdict, f"text {kind}"),
                ]
            )
        )
    heads = ["arm", "against", f"difference ± {percent}", "seeds", "p", "p (Holm)", "verdict"]
    note = (
        f"Differences seed by seed, Student's paired t-test, p adjusted by Holm for the "
        f"{len(rows)} comparisons; “better” and “worse” below {ALPHA}."
    )
    return f"<h3>Paired differences</h3>{table(heads, rows, sortable=True)}" + (
        f'<p class="soft">{html.escape(note)}</p>'
    )


def _estimate_cell(score: Estimate | None) -> Cell:
    if score is None:
        return Cell("–")
    half = "" if score.half is None else f" ± {score.half:.3f}"
    return Cell(f"{score.mean:.3f}{half}", f"{score.mean:.6f}")


def _signed(score: Estimate) -> str:
    return f"{score.mean:+.4f}" + ("" if score.half is None else f" ± {score.half:.4f}")


def _scaled_cell(value: float | None, unit: float, form: str = ".2f") -> Cell:
    return Cell("–") if value is None else number_cell(value, format(value / unit, form))
