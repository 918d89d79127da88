"""The search's figures: scores against latency with their fronts, and predictions against truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from buildext.learn.search.candidate import Candidate
from buildext.page.figure import COLOURS, INK, as_svg, new_figure

GENERATED, REFERENCE, LIMIT = COLOURS[0], COLOURS[1], COLOURS[6]
ORIGINS = (("generated", GENERATED, "o"), ("reference", REFERENCE, "s"))


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate that was measured and trained."""

    candidate: Candidate
    latency_ms: float
    score: float


def points_of(candidates: Sequence[Candidate]) -> list[Point]:
    """Those of the candidates that have a place in the figure."""
    return [
        Point(c, c.latency_ms, c.score)
        for c in candidates
        if c.score is not None and c.latency_ms is not None
    ]


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no faster one beats, the fastest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.latency_ms, -p.score)):
        if not kept or point.score > kept[-1].score:
            kept.append(point)
    return kept


def draw_fronts(candidates: Sequence[Candidate], limit_ms: float, name: str) -> str:
    """Score against latency; darker dots were found in later turns, squares were made by hand."""
    last = max((c.turn for c in candidates), default=1)
    titles = {}
    with new_figure(9.0, 4.6) as figure:
        axes = figure.subplots()
        for origin, colour, marker in ORIGINS:
            points = points_of([c for c in candidates if c.origin == origin])
            for point in points:
                one = point.candidate
                alpha = 0.25 + 0.75 * one.turn / max(last, 1) if one.turn else 0.9
                dot = axes.scatter(
                    [point.latency_ms],
                    [point.score],
                    s=34,
                    color=colour,
                    marker=marker,
                    alpha=alpha,
                )
                dot.set_urls([f"#{one.key}"])
                text = f"{point.score:.3f}, {point.latency_ms:.1f} ms: {one.label}"
                titles[f"#{one.key}"] = text
            line = front(points)
            axes.step(
                [p.latency_ms for p in line],
                [p.score for p in line],
                where="post",
                color=colour,
                linewidth=1.3,
                label="found" if origin == "generated" else "hand-designed",
            )
        axes.axvline(limit_ms, linestyle="--", linewidth=1.2, color=LIMIT, label="limit")
        axes.set_xlabel("latency of one tile, ms, measured")
        axes.set_ylabel("score of the short training")
        axes.legend(loc="lower right")
        return as_svg(figure, name, titles)


def draw_latency(pairs: Sequence[tuple[float, float]], name: str) -> str:
    """Predicted against measured milliseconds, on logarithmic axes, with the diagonal."""
    with new_figure(5.0, 4.2) as figure:
        axes = figure.subplots()
        values = [value for pair in pairs for value in pair]
        ends = [0.8 * min(values), 1.25 * max(values)]
        axes.plot(ends, ends, color=INK, linewidth=1.0, alpha=0.4)
        axes.scatter([p for p, _ in pairs], [m for _, m in pairs], s=26, color=GENERATED)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("predicted, ms")
        axes.set_ylabel("measured, ms")
        return as_svg(figure, name)
