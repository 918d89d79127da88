"""The report's plots, each from the findings alone.

A *precision–recall curve* keeps only predictions of at least some confidence, and lets that limit
run from 1 to 0; it is over objects, and matching is that of all predictions (without overlaps
inside a layer, taking predictions away changes no other match). The *reliability diagram* asks
whether of the predictions with confidence 0.8 eight in ten match. *F1 against height* and *against
size* show where a model fails, finer than classes. The *displacement* of a prediction is the step
from the true centroid to its own: a heap beside the origin is a shift of the whole layer, a wide
heap is disagreement about outlines.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely

from buildext.evaluate.report.findings import (
    BinnedF1,
    Findings,
    Floats,
    displacements_m,
    f1_by,
)
from buildext.evaluate.report.style import MISSED
from buildext.page.figure import COLOURS, INK, as_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RELIABILITY_BINS = 10
_VALUE_BINS = 10
_SIZE = (5.0, 3.9)
# Dots of a scatter plot; more would only make the page heavier.
_DOTS = 2000


def precision_recall(findings: Findings) -> tuple[Floats, Floats, Floats]:
    """Objects kept from the most confident on: limits, precision, recall, `(N,)` each.

    Raises:
        ValueError: the findings have no confidence.
    """
    if findings.confidence is None:
        raise ValueError("precision and recall over confidence need a confidence")
    counted = findings.pred.matched | findings.pred.unmatched
    confidence = np.nan_to_num(findings.confidence[counted])
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(findings.pred.matched[counted][order])
    true = int((findings.ref.matched | findings.ref.unmatched).sum())
    limits = confidence[order]
    # Of predictions with one confidence, all are kept or none.
    last = np.append(limits[1:] != limits[:-1], True)
    kept = np.arange(1, len(order) + 1)
    return limits[last], (hits / kept)[last], (hits / max(true, 1))[last]


def draw_precision_recall(findings: Findings) -> str:
    """Precision against recall with the limit that maximises F1, as SVG."""
    limits, precision, recall = precision_recall(findings)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f1))
    with new_figure(*_SIZE) as figure:
        axes = figure.subplots()
        grid = np.linspace(0.01, 1, 200)
        for level in (0.2, 0.4, 0.6, 0.8):
            with np.errstate(divide="ignore"):
                curve = level * grid / (2 * grid - level)
            shown = (curve > 0) & (curve <= 1)
            axes.plot(grid[shown], curve[shown], "-", color=INK, alpha=0.25, linewidth=0.8)
            x = level / (2 - level)
            axes.text(x, 1.01, f"F1 {level:g}", ha="center", fontsize=7.5, alpha=0.7)
        axes.plot(recall, precision, "-", color=COLOURS[0], linewidth=2)
        axes.plot(recall[-1], precision[-1], "o", color=COLOURS[0])
        axes.plot(recall[best], precision[best], "D", color=COLOURS[1])
        axes.legend(
            handles=[
                _handle("o", COLOURS[0], f"all predictions: F1 {f1[-1]:.3f}"),
                _handle(
                    "D", COLOURS[1], f"confidence ≥ {limits[best]:.2f}: F1 {f1[best]:.3f}, best"
                ),
            ],
            loc="lower left",
            fontsize=8.5,
        )
        _unit_axes(axes, "recall", f"precision (objects, IoU ≥ {findings.min_iou:g})")
        return as_svg(figure, "pr")


def draw_reliability(findings: Findings) -> str:
    """Share of matching predictions by confidence, as SVG; needs a confidence."""
    assert findings.confidence is not None
    counted = (findings.pred.matched | findings.pred.unmatched) & ~np.isnan(findings.confidence)
    confidence = np.clip(findings.confidence[counted], 0, 1)
    hit = findings.pred.matched[counted]
    place = np.minimum((confidence * _RELIABILITY_BINS).astype(np.intp), _RELIABILITY_BINS - 1)
    count, mean, share = (
        np.bincount(place, weights=weights, minlength=_RELIABILITY_BINS)
        for weights in (None, confidence, hit)
    )
    used = count > 0
    weight: Floats = count[used].astype(np.float64)
    mean, share = mean[used] / weight, share[used] / weight
    error = float((weight * np.abs(mean - share)).sum() / max(weight.sum(), 1))
    with new_figure(*_SIZE) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], "--", color=INK, alpha=0.5, linewidth=1)
        low, high = _wilson(share, weight)
        axes.vlines(mean, low, high, color=COLOURS[0], alpha=0.45, linewidth=4)
        axes.plot(mean, share, "o-", color=COLOURS[0])
        bars = axes.twinx()
        edges = np.linspace(0, 1, _RELIABILITY_BINS + 1)[:-1]
        width = 1 / _RELIABILITY_BINS
        bars.bar(edges, count, width, align="edge", color=INK, alpha=0.12)
        # Bars in the lower third, out of the way of the curve.
        bars.set_ylim(0, 3 * max(count.max(), 1))
        bars.set_axis_off()
        axes.text(0.02, 0.95, f"mean gap (ECE) {error:.3f}", fontsize=9)
        _unit_axes(axes, "confidence of the prediction", "share that match")
        return as_svg(figure, "reliability")


def draw_f1_by_height(findings: Findings, limits_m: tuple[float, ...]) -> str:
    """Object F1 in bins of height with the class limits, as SVG; needs heights."""
    assert findings.heights_m is not None
    heights = findings.heights_m
    edges = _quantile_edges(heights[~np.isnan(heights)], digits=0)
    binned = f1_by(findings, heights, edges)
    with new_figure(*_SIZE) as figure:
        axes = figure.subplots()
        for limit in limits_m:
            if edges[0] < limit < edges[-1]:
                axes.axvline(limit, linestyle=":", color=INK, alpha=0.6, linewidth=1)
        _steps(axes, binned, MISSED.colour)
        axes.set_xlabel("height of the true building, m")
        return as_svg(figure, "height")


def draw_f1_by_size(findings: Findings) -> str:
    """Object F1 in bins of the true building's area, as SVG."""
    area = shapely.area(findings.ref.polygons)
    binned = f1_by(findings, area, _quantile_edges(area, digits=0))
    with new_figure(*_SIZE) as figure:
        axes = figure.subplots()
        _steps(axes, binned, MISSED.colour)
        axes.set_xscale("log")
        _plain_ticks(axes)
        axes.set_xlabel("area of the true building, m²")
        return as_svg(figure, "size")


def draw_displacements(findings: Findings) -> str:
    """Lengths of displacements, and their steps on the ground, as SVG."""
    steps = displacements_m(findings)
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
        # The ground plane's y runs down the rows; a reader expects up.
        ground.scatter(shown[:, 0], -shown[:, 1], s=9, color=COLOURS[0], alpha=0.5, linewidths=0)
        dx, dy = np.median(steps, axis=0)
        ground.plot([0, dx], [0, -dy], "-", color=COLOURS[1], linewidth=1.5)
        ground.plot([dx], [-dy], "o", color=COLOURS[1])
        ground.axhline(0, color=INK, alpha=0.4, linewidth=0.8)
        ground.axvline(0, color=INK, alpha=0.4, linewidth=0.8)
        ground.set_aspect("equal")
        ground.set_xlim(-far, far)
        ground.set_ylim(-far, far)
        across, along = _directions(findings)
        ground.set_xlabel(f"{across}, m")
        ground.set_ylabel(f"{along}, m")
        ground.set_title(f"median step {dx:+.2f}, {-dy:+.2f} m", fontsize=9.5, fontweight="normal")
        return as_svg(figure, "displacement")


def _directions(findings: Findings) -> tuple[str, str]:
    """Names of the picture's right and up."""
    t = findings.frame.transform
    north_up = t.b == 0 and t.d == 0 and t.a > 0 > t.e
    return ("east", "north") if north_up else ("along the grid's columns", "up its rows")


def _steps(axes: Axes, binned: BinnedF1, colour: str) -> None:
    """F1 by bin as flat steps, the number of buildings above each."""
    for low, high, f1, true in zip(
        binned.edges[:-1], binned.edges[1:], binned.f1, binned.true, strict=True
    ):
        if math.isnan(f1):
            continue
        axes.fill_between([low, high], 0, f1, color=colour, alpha=0.22, linewidth=0)
        axes.plot([low, high], [f1, f1], color=colour, linewidth=2.5, solid_capstyle="butt")
        middle = math.sqrt(max(low, 1e-9) * high) if low > 0 else 0.5 * high
        axes.text(middle, f1 + 0.015, str(true), ha="center", fontsize=7, alpha=0.75, clip_on=True)
    axes.set_ylim(0, 1.08)
    axes.set_xlim(binned.edges[0], binned.edges[-1])
    axes.set_ylabel("object F1 (numbers: true buildings)")


def _quantile_edges(values: Floats, digits: int) -> Floats:
    """Edges between about equally many values, rounded and without repetition."""
    bins = int(np.clip(len(values) // 12, 1, _VALUE_BINS))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)).round(digits))
    edges[0], edges[-1] = min(edges[0], values.min()), max(edges[-1], values.max())
    return edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1])


def _wilson(share: Floats, count: Floats) -> tuple[Floats, Floats]:
    """95 % interval of a share (Wilson, JASA 22, 1927)."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return middle - half, middle + half


def _handle(marker: str, colour: str, label: str):  # type: ignore[no-untyped-def]  # matplotlib's
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=marker, color=colour, linestyle="", label=label)


def _unit_axes(axes: Axes, across: str, up: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.06)
    axes.set_xlabel(across)
    axes.set_ylabel(up)


def _plain_ticks(axes: Axes) -> None:
    """30, 100, 300 instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
