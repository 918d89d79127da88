"""The search's page: one HTML file, made from the records alone.

It shows what was found against what people designed, how well latency and score were predicted
before they were known, and how the generator's choices moved from its first turn to its last.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from buildext.atomic import atomic_path
from buildext.learn.search.candidate import Candidate, Turn, trained
from buildext.learn.search.config import ConstraintSection, SearchConfig
from buildext.learn.search.estimate import (
    SHARE,
    Estimate,
    features_of,
    fit_estimate,
    rank_correlation,
)
from buildext.learn.search.latency import fit_latency, latency_error
from buildext.learn.search.parts import Sample
from buildext.learn.search.performance import indicator, performance
from buildext.learn.search.plots import draw_fronts, draw_latency, front, points_of
from buildext.learn.search.space import Space
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

PAGE_FILE = "search.html"
LEARNT_ROWS = 16


def write_page(
    path: Path,
    config: SearchConfig,
    space: Space,
    parts: Sequence[Sample],
    candidates: Sequence[Candidate],
    turns: Sequence[Turn],
) -> None:
    """Write the page.

    Args:
        path: of the HTML file; an older page is replaced.
        config: of the search.
        space: what genomes mean.
        parts: measured.
        candidates: as far as they are known.
        turns: likewise.
    """
    title = config.title or f"Search: {config.name}"
    generated = [c for c in candidates if c.origin == "generated"]
    done = list(trained(generated))
    body = [f"<h1>{html.escape(title)}</h1>", _summary(config, candidates, turns)]
    if done:
        body.append("<h2>Found against made by hand</h2>")
        body.append(
            figure(
                draw_fronts(candidates, config.constraints.latency_ms, "fronts"),
                "Every network that was trained. Lines join those that no faster one beats; paler "
                "dots are of earlier turns. One seed and a short training each: differences of a "
                "few hundredths are chance.",
            )
        )
        body.append(_against(candidates))
    body += [_networks(config, candidates), _latency(parts, generated), _scores(done)]
    body.append(_learnt(space, turns, done))
    body.append(_turns(turns, candidates, config))
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(document(title, "\n".join(body)), encoding="utf-8")


def _summary(config: SearchConfig, candidates: Sequence[Candidate], turns: Sequence[Turn]) -> str:
    seconds = sum(c.seconds or 0.0 for c in candidates)
    engine = config.engine
    return facts(
        [
            ("asked for", limits_text(config.constraints)),
            ("engine", f"OpenVINO, {engine.tile_px} px, {engine.threads or 'all'} thread(s)"),
            ("generator", config.generator.kind),
            ("turns", f"{len(turns)} of {config.generator.turns}"),
            ("proposed", str(sum(turn.proposed for turn in turns))),
            ("measured", str(sum(c.latency_ms is not None for c in candidates))),
            ("trained", f"{sum(c.score is not None for c in candidates)} ({seconds / 60:.0f} min)"),
        ]
    )


def limits_text(limits: ConstraintSection) -> str:
    """The constraints in words."""
    words = [f"{limits.latency_ms:g} ms"]
    if limits.parameters is not None:
        words.append(f"{limits.parameters / 1e6:g} M parameters")
    if limits.macs is not None:
        words.append(f"{limits.macs / 1e9:g} G MACs")
    if limits.int8_share:
        words.append(f"{100 * limits.int8_share:g} % in int8")
    if limits.score:
        words.append(f"score {limits.score:g}")
    return ", ".join(words)


def _against(candidates: Sequence[Candidate]) -> str:
    """For each hand-designed network: the best found one that is no slower."""
    found = front(points_of([c for c in candidates if c.origin == "generated"]))
    rows = []
    for rival in points_of([c for c in candidates if c.origin == "reference"]):
        faster = [point for point in found if point.latency_ms <= rival.latency_ms]
        best = faster[-1] if faster else None
        rows.append(
            Row(
                [
                    text_cell(rival.candidate.label),
                    _number(rival.latency_ms, ".1f"),
                    _number(rival.score, ".3f"),
                    text_cell(best.candidate.label if best else "none is as fast"),
                    _number(best.latency_ms if best else None, ".1f"),
                    _number(best.score - rival.score if best else None, "+.3f"),
                ]
            )
        )
    if not rows:
        return ""
    heads = ["made by hand", "ms", "score", "best found, no slower", "ms", "difference"]
    return table(heads, rows, sortable=True)


def _networks(config: SearchConfig, candidates: Sequence[Candidate]) -> str:
    heads = ["network", "origin", "turn", "score", "longer", "U", "ms", "predicted"]
    heads += ["params, M", "MACs, G", "int8", "estimate", "remark"]
    rows = []
    for c in candidates:
        value = None
        if c.score is not None and c.latency_ms is not None:
            value = performance(c.figures, config.performance)
        kept = value is not None and indicator(c.figures, config.constraints)
        share = None if c.int8_share is None else 100 * c.int8_share
        cells = [
            text_cell(c.label),
            text_cell("found" if c.origin == "generated" else "by hand"),
            number_cell(c.turn, str(c.turn)),
            _number(c.score, ".3f"),
            _number(c.final_score, ".3f"),
            _number(value, ".2f"),
            _number(c.latency_ms, ".1f"),
            _number(c.predicted_ms, ".1f"),
            _number(c.parameters / 1e6, ".2f"),
            _number(c.macs / 1e9, ".2f"),
            _number(share, ".0f"),
            _number(c.estimate, ".3f"),
            text_cell(c.reason, "text wrap remark"),
        ]
        rows.append(Row(cells, c.key, "" if kept else "out"))
    if not rows:
        return ""
    return f"<h2>Networks</h2>{table(heads, rows, sortable=True)}" + _note(
        "U is the performance, of the longer training where there is one. Grey rows do not keep "
        "the constraints, or have not been trained."
    )


def _latency(parts: Sequence[Sample], generated: Sequence[Candidate]) -> str:
    """Errors of the latency model on its own parts, and on networks that it had not seen."""
    model = fit_latency(parts)
    fitted = latency_error([model.predict(p.works) for p in parts], [p.latency_ms for p in parts])
    pairs = [
        (c.predicted_ms, c.latency_ms)
        for c in generated
        if c.predicted_ms is not None and c.latency_ms is not None
    ]
    unseen = latency_error([p for p, _ in pairs], [m for _, m in pairs])
    rows = []
    for name, error in (("parts, fitted", fitted), ("networks, before measuring", unseen)):
        rows.append(
            Row(
                [
                    text_cell(name),
                    number_cell(error.count, str(error.count)),
                    _number(error.r2, ".3f"),
                    _number(100 * error.median, ".0f"),
                    _number(100 * error.worst, ".0f"),
                ]
            )
        )
    heads = ["", "measured", "R²", "median error, %", "worst, %"]
    text = f"<h2>Latency: predicted and measured</h2>{table(heads, rows)}"
    if pairs:
        text += figure(
            draw_latency(pairs, "latency"),
            "Networks, each predicted by a model that had not seen it. Whoever was chosen was "
            "measured; no finalist stands on a prediction.",
        )
    return text


def _scores(done: Sequence[Candidate]) -> str:
    """What the proxies and the estimate are worth."""
    if len(done) < 3:
        return ""
    scores = [c.score or 0.0 for c in done]
    rows = [
        Row([text_cell(name), _number(rank_correlation(values, scores), "+.2f")])
        for name in done[0].proxies
        if (values := [c.proxies[name] for c in done])
    ]
    estimate = _estimate_of(done)
    row = [text_cell("estimate, each network left out"), _number(estimate.rank_correlation, "+.2f")]
    rows.append(Row(row))
    before = [c for c in done if c.estimate is not None]
    if len(before) > 2:
        guessed = [c.estimate or 0.0 for c in before]
        value = rank_correlation(guessed, [c.score or 0.0 for c in before])
        rows.append(Row([text_cell("estimate, before training"), _number(value, "+.2f")]))
    return (
        "<h2>Scores: predicted and trained</h2>"
        + table([f"over {len(done)} networks", "rank correlation"], rows)
        + _note("Spearman's. A proxy that does not beat the size of a network says nothing new.")
    )


def _estimate_of(done: Sequence[Candidate]) -> Estimate:
    return fit_estimate([(features_of(c.proxies, c.works), c.score or 0.0) for c in done])


def _learnt(space: Space, turns: Sequence[Turn], done: Sequence[Candidate]) -> str:
    """How proposals moved, and what the estimate makes of each kind of part."""
    text = ""
    if len(turns) > 1:
        first, last = turns[0], turns[-1]
        moved: list[tuple[str, str, float, float, list[float]]] = []
        for parameter in space.parameters:
            for choice in parameter.choices:
                before = _share(first, parameter.name, choice)
                after = _share(last, parameter.name, choice)
                own = [c.score or 0.0 for c in done if _chose(c, space, parameter.name, choice)]
                moved.append((parameter.name, choice, before, after, own))
        moved.sort(key=lambda row: -abs(row[3] - row[2]))
        rows = [
            Row(
                [
                    text_cell(name),
                    text_cell(choice),
                    _number(100 * before, ".0f"),
                    _number(100 * after, ".0f"),
                    number_cell(len(own), str(len(own))),
                    _number(sum(own) / len(own) if own else None, ".3f"),
                ]
            )
            for name, choice, before, after, own in moved[:LEARNT_ROWS]
        ]
        heads = ["parameter", "choice", "first turn, %", "last turn, %", "trained", "mean score"]
        text += table(heads, rows, sortable=True)
        text += _note(
            "Shares of the proposals that made this choice; those that moved most. Choices without "
            "a say, such as the last stage of a network that has none, are counted, too."
        )
    estimate = _estimate_of(done)
    effects = estimate.effects if estimate.believed else {}
    rows = [
        Row([text_cell(name.replace(SHARE, "more work in ")), _number(effect, "+.4f")])
        for name, effect in sorted(effects.items(), key=lambda pair: -abs(pair[1]))
    ]
    if rows:
        text += table(["one standard deviation more", "score"], rows, sortable=True)
    return f"<h2>What was learnt</h2>{text}" if text else ""


def _share(turn: Turn, name: str, choice: str) -> float:
    counts = turn.choices.get(name, {})
    return counts.get(choice, 0) / max(sum(counts.values()), 1)


def _chose(candidate: Candidate, space: Space, name: str, choice: str) -> bool:
    return candidate.genome is not None and space.meaning(candidate.genome)[name] == choice


def _turns(turns: Sequence[Turn], candidates: Sequence[Candidate], config: SearchConfig) -> str:
    rows = []
    for turn in turns:
        done = [c for c in candidates if c.key in turn.chosen and c.score is not None]
        kept = [c for c in done if indicator(c.figures, config.constraints)]
        best = max((performance(c.figures, config.performance) for c in kept), default=None)
        scores = [c.score for c in kept if c.score is not None]
        rows.append(
            Row(
                [
                    number_cell(turn.number, str(turn.number)),
                    number_cell(turn.proposed, str(turn.proposed)),
                    number_cell(turn.admitted, str(turn.admitted)),
                    number_cell(len(done), str(len(done))),
                    _number(sum(scores) / len(scores) if scores else None, ".3f"),
                    _number(max(scores, default=None), ".3f"),
                    _number(best, ".2f"),
                ]
            )
        )
    if not rows:
        return ""
    heads = ["turn", "proposed", "admitted", "trained", "mean score", "best score", "best U"]
    return f"<h2>Turns</h2>{table(heads, rows)}"


def _number(value: float | None, form: str) -> Cell:
    return Cell("–") if value is None else number_cell(value, format(value, form))


def _note(text: str) -> str:
    return f'<p class="soft">{html.escape(text)}</p>\n'
