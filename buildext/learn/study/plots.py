"""The study's figures: arms in order of their score, and scores against what a network costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildext.learn.study.latency import Latency
from buildext.learn.study.ranking import ArmResult
from buildext.page.figure import COLOURS, INK, as_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

UNTRAINED = "#a0a0a0"
LABEL_LENGTH = 44


@dataclass(frozen=True, slots=True)
class Point:
    """An arm in a figure.

    Attributes:
        arm: with its score.
        address: of its row in the page's table, `#...`.
        parameters: of the network.
        macs_256: multiply-accumulates at 256 px.
        latency: if it has been measured.
    """

    arm: ArmResult
    address: str
    parameters: float | None
    macs_256: float | None
    latency: Latency | None

    @property
    def title(self) -> str:
        """The tooltip."""
        score = self.arm.score
        if score is None:
            return self.arm.label
        half = "" if score.half is None else f" ± {score.half:.3f}"
        return f"{self.arm.label}: {score.mean:.3f}{half}"


def draw_ranking(points: Sequence[Point], metric: str, name: str) -> str:
    """Means and intervals as SVG, the best arm on top; crosses are single runs."""
    shown = [p for p in points if p.arm.score is not None][::-1]
    with new_figure(11.0, 1.3 + 0.23 * len(shown)) as figure:
        axes = figure.subplots()
        for y, point in enumerate(shown):
            score = point.arm.score
            assert score is not None
            colour = COLOURS[0] if point.arm.rank is not None else UNTRAINED
            runs = [r.scores[metric] for r in point.arm.runs.values() if r and metric in r.scores]
            if len(runs) > 1:
                axes.plot(runs, [y] * len(runs), "x", color=colour, markersize=4, alpha=0.7)
            if score.half is not None:
                axes.plot(
                    [score.mean - score.half, score.mean + score.half], [y, y], "-", color=colour
                )
            dot = axes.scatter([score.mean], [y], s=36, color=colour, zorder=3)
            dot.set_urls([point.address])
        baselines = [
            r.baseline for p in shown for r in p.arm.runs.values() if r and r.baseline is not None
        ]
        if baselines:
            mean = sum(baselines) / len(baselines)
            axes.axvline(mean, linestyle="--", color=COLOURS[1], linewidth=1.2)
            text = axes.text(
                mean,
                len(shown) - 0.3,
                " colour threshold",
                color=COLOURS[1],
                fontsize=8.5,
                va="bottom",
            )
            # Near the right edge it may stick out; axes must not shrink for that.
            text.set_in_layout(False)
        axes.set_yticks(range(len(shown)), [_short(p.arm.label) for p in shown], fontsize=8.5)
        axes.set_ylim(-0.7, len(shown) + 0.2)
        means = [p.arm.score.mean for p in shown if p.arm.score is not None]
        # Intervals from two or three seeds may be wider than what there is to see.
        axes.set_xlim(max(0.0, min(means + baselines) - 0.06), min(1.0, max(means) + 0.06))
        axes.set_xlabel(f"F1, {metric}")
        return as_svg(figure, name, {p.address: p.title for p in shown})


def draw_costs(points: Sequence[Point], metric: str, name: str) -> str:
    """Scores against parameters, MACs and latencies as SVG; empty where all arms cost the same.

    The line joins the arms that no cheaper arm beats; they alone are named, the best first, as far
    as there is room.
    """
    ranked = [p for p in points if p.arm.rank is not None]
    panels = []
    for title, cost_of in _COSTS:
        known = [(c, p) for p in ranked if (c := cost_of(p)) is not None and c > 0]
        if len({c for c, _ in known}) > 1:
            panels.append((title, known))
    if not panels:
        return ""
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    with new_figure(11.0 if columns == 2 else 7.0, 4.0 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        named: list[tuple[Axes, list[tuple[float, float, str]]]] = []
        for axes, (title, known) in zip(grid[: len(panels)], panels, strict=True):
            scored = [(c, p.arm.score.mean, p) for c, p in known if p.arm.score is not None]
            for cost, score, point in scored:
                dot = axes.scatter([cost], [score], s=34, color=COLOURS[0], alpha=0.85, zorder=3)
                dot.set_urls([point.address])
            front = undominated([(cost, score) for cost, score, _ in scored])
            axes.plot(
                [scored[i][0] for i in front],
                [scored[i][1] for i in front],
                "-",
                color=COLOURS[1],
                linewidth=1.4,
            )
            axes.set_xscale("log")
            axes.set_xlabel(title)
            axes.set_ylabel(f"F1, {metric}")
            costs = [c for c, _, _ in scored]
            axes.set_xlim(min(costs) / 2.2, max(costs) * 1.6)
            _plain_ticks(axes)
            best_first = [(*scored[i][:2], scored[i][2].arm.label) for i in reversed(front)]
            named.append((axes, best_first))
        # Only a figure that was laid out knows where names meet.
        figure.draw_without_rendering()
        for axes, best_first in named:
            _name_points(axes, best_first)
        return as_svg(figure, name, {p.address: p.title for p in ranked})


def _name_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points, the first ones first; those without a free place have none."""
    taken: list[Bbox] = []
    for x, y, label in points:
        for offset, side in (((-4, 5), "right"), ((4, -10), "left")):
            text = axes.annotate(
                _short(label, 26),
                (x, y),
                xytext=offset,
                textcoords="offset points",
                fontsize=7.5,
                ha=side,
                color=INK,
                in_layout=False,
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()


def undominated(pairs: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, score) pairs that nothing cheaper or equally dear beats, by cost."""
    best, front = -math.inf, []
    for i in sorted(range(len(pairs)), key=lambda k: (pairs[k][0], -pairs[k][1])):
        if pairs[i][1] > best:
            best = pairs[i][1]
            front.append(i)
    return front


def _latency(kind: Callable[[Latency], float | None]) -> Callable[[Point], float | None]:
    return lambda point: None if point.latency is None else kind(point.latency)


_COSTS: tuple[tuple[str, Callable[[Point], float | None]], ...] = (
    ("parameters, millions", lambda p: None if p.parameters is None else p.parameters / 1e6),
    ("MACs at 256 px, billions", lambda p: None if p.macs_256 is None else p.macs_256 / 1e9),
    ("CPU latency of a 512 px tile, ms", _latency(lambda latency: latency.cpu_ms)),
    ("GPU latency of a 512 px tile, ms", _latency(lambda latency: latency.gpu_ms)),
)


def _plain_ticks(axes: object) -> None:
    """3, 10, 30 instead of powers of ten."""
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    assert isinstance(axes, Axes)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(label: str, length: int = LABEL_LENGTH) -> str:
    label = label.replace("tu-", "")
    return label if len(label) <= length else f"{label[: length - 1]}…"
