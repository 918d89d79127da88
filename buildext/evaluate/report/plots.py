"""The report's plots, each an SVG.

A *precision–recall curve* keeps only predictions of at least some confidence, and lets that limit
rise. The *reliability diagram* asks whether of the predictions with confidence 0.8 eight in ten are
right. (Both come from `calibration`.) *F1 against height* and *against
size* show where a model fails, finer than classes. The *displacement* of a prediction is the step
from the true centroid to its own: a heap beside the origin is a shift of the whole layer, a wide
heap is disagreement about outlines.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely

from buildext.evaluate.calibration import Calibration
from buildext.evaluate.report.findings import (
    BinnedF1,
    Findings,
    Floats,
    displacements_m,
    f1_by,
)
from buildext.page.figure import COLOURS, INK, as_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_VALUE_BINS = 10
_SIZE = (5.0, 3.9)
# Dots of a scatter plot; more would only make the page heavier.
_DOTS = 2000


def draw_precision_recall(calibration: Calibration, name: str) -> str:
    """Precision against recall with the threshold that maximises F1, as SVG."""
    precision = [point.precision for point in calibration.curve]
    recall = [point.recall for point in calibration.curve]
    first, best = calibration.curve[0], calibration.best
    with new_figure(*_SIZE) as figure:
        axes = figure.subplots()
        for level in (0.2, 0.4, 0.6, 0.8):
            grid = np.linspace(level / (2 - level), 1, 100)
            axes.plot(grid, level * grid / (2 * grid - level), color=INK, alpha=0.25, linewidth=0.8)
            axes.text(level / (2 - level), 1.01, f"F1 {level:g}", fontsize=7.5, alpha=0.7)
        axes.plot(recall, precision, "-", color=COLOURS[0], linewidth=2)
        axes.plot(first.recall, first.precision, "o", color=COLOURS[0])
        axes.plot(best.recall, best.precision, "D", color=COLOURS[1])
        axes.legend(
            handles=[
                _handle("o", COLOURS[0], f"from {first.threshold:.2f} on: F1 {first.f1:.3f}"),
                _handle("D", COLOURS[1], f"from {best.threshold:.2f} on: F1 {best.f1:.3f}, best"),
            ],
            loc="lower left",
            fontsize=8.5,
        )
        _unit_axes(axes, "recall", f"precision ({calibration.cases})")
        return as_svg(figure, name)


def draw_reliability(calibration: Calibration, name: str) -> str:
    """Share of right cases by confidence, as SVG."""
    used = [one for one in calibration.reliability if one.count]
    mean = np.array([one.confidence for one in used], np.float64)
    share = np.array([one.right for one in used], np.float64)
    with new_figure(*_SIZE) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], "--", color=INK, alpha=0.5, linewidth=1)
        axes.plot(mean, share, "o-", color=COLOURS[0])
        bars = axes.twinx()
        for one in used:
            bars.bar(one.low, one.count, one.high - one.low, align="edge", color=INK, alpha=0.12)
        # Bars in the lower third, out of the way of the curve.
        bars.set_ylim(0, 3 * max(one.count for one in used))
        bars.set_axis_off()
        axes.text(0.02, 0.97, f"ECE {calibration.ece:.3f}", fontsize=9)
        _unit_axes(axes, "confidence", f"share of {calibration.cases} that are right")
        return as_svg(figure, name)


def draw_f1_by_height(findings: Findings, limits_m: tuple[float, ...]) -> str:
    """Object F1 in bins of height with the class limits, as SVG; needs heights."""
    assert findings.heights_m is not None
    heights = findings.heights_m
    edges = _quantile_edges(heights[~np.isnan(heights)])
    with new_figure(*_SIZE) as figure:
        axes = figure.subplots()
        _bars(axes, f1_by(findings, heights, edges), limits_m)
        axes.set_xlabel("height of the true building, m")
        return as_svg(figure, "height")


def draw_f1_by_size(findings: Findings) -> str:
    """Object F1 in bins of the true building's area, as SVG."""
    area = shapely.area(findings.ref.polygons)
    with new_figure(*_SIZE) as figure:
        axes = figure.subplots()
        _bars(axes, f1_by(findings, area, _quantile_edges(area)), ())
        axes.set_xlabel("area of the true building, m²")
        return as_svg(figure, "size")


def draw_displacements(findings: Findings) -> str:
    """Lengths of displacements, and their steps on the ground, as SVG."""
    steps = findings.frame.to_east_north(displacements_m(findings))
    lengths = np.hypot(*steps.T)
    if len(lengths) == 0:
        return ""
    far = max(float(np.percentile(lengths, 98)), 0.5)
    with new_figure(2 * _SIZE[0], _SIZE[1]) as figure:
        counts, ground = figure.subplots(1, 2)
        beyond = int((lengths > far).sum())
        counts.hist(np.minimum(lengths, far), bins=30, range=(0, far), color=COLOURS[0])
        median = float(np.median(lengths))
        counts.axvline(median, linestyle="--", color=COLOURS[1])
        note = f"median {median:.2f} m" + (f"\n{beyond} beyond {far:.1f} m" if beyond else "")
        counts.text(0.97, 0.95, note, transform=counts.transAxes, ha="right", va="top", fontsize=9)
        counts.set_xlabel("displacement, m")
        counts.set_ylabel("buildings")
        counts.set_xlim(0, far)
        shown = steps[:: math.ceil(len(steps) / _DOTS)]
        ground.scatter(shown[:, 0], shown[:, 1], s=9, color=COLOURS[0], alpha=0.5, linewidths=0)
        east, north = np.median(steps, axis=0)
        ground.plot([0, east], [0, north], "-", color=COLOURS[1], linewidth=1.5)
        ground.plot([east], [north], "o", color=COLOURS[1])
        ground.axhline(0, color=INK, alpha=0.4, linewidth=0.8)
        ground.axvline(0, color=INK, alpha=0.4, linewidth=0.8)
        ground.set_aspect("equal")
        ground.set_xlim(-far, far)
        ground.set_ylim(-far, far)
        ground.set_xlabel("east on the grid, m")
        ground.set_ylabel("north on the grid, m")
        ground.set_title(
            f"median step {east:+.2f} m east, {north:+.2f} m north",
            fontsize=9.5,
            fontweight="normal",
        )
        return as_svg(figure, "displacement")


def _bars(axes: Axes, binned: BinnedF1, limits: tuple[float, ...]) -> None:
    """F1 as bars of equal width between the bins' edges, the number of buildings above each."""
    bins = len(binned.f1)
    known = ~np.isnan(binned.f1)
    axes.bar(np.flatnonzero(known) + 0.5, binned.f1[known], 0.92, color=COLOURS[0], alpha=0.75)
    for i in np.flatnonzero(known):
        axes.text(i + 0.5, binned.f1[i] + 0.015, str(binned.true[i]), ha="center", fontsize=7.5)
    for limit in limits:
        if binned.edges[0] < limit < binned.edges[-1]:
            place = float(np.interp(limit, binned.edges, np.arange(bins + 1)))
            axes.axvline(place, linestyle=":", color=INK, alpha=0.8, linewidth=1.2)
    axes.set_xticks(range(bins + 1), [f"{edge:.0f}" for edge in binned.edges])
    axes.grid(visible=False, axis="x")
    axes.set_xlim(0, bins)
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("object F1 (numbers: true buildings)")


def _quantile_edges(values: Floats) -> Floats:
    """Whole numbers as edges between about equally many values."""
    bins = int(np.clip(len(values) // 12, 1, _VALUE_BINS))
    inner = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]).round()
    return np.unique([np.floor(values.min()), *inner, np.floor(values.max()) + 1])


def _handle(marker: str, colour: str, label: str):  # type: ignore[no-untyped-def]  # matplotlib's
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=marker, color=colour, linestyle="", label=label)


def _unit_axes(axes: Axes, across: str, up: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.06)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
