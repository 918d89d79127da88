"""The curves of a run, from its log."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from buildext.errors import MissingInputError
from buildext.learn.training.engine.log import HELD_OUT, LOG_FILE
from buildext.learn.training.engine.monitor import is_error
from buildext.page.figure import as_svg, new_figure

Curve = list[tuple[int, float]]
LOSS = "loss/"
# Beyond this many points a curve is drawn as its running mean as well.
SMOOTH_FROM = 40


def read_curves(folder: Path) -> dict[str, Curve]:
    """Steps and values by name, in the order in which names appear in the log.

    Raises:
        MissingInputError: the folder has no log.
    """
    curves: dict[str, Curve] = {}
    try:
        with (folder / LOG_FILE).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                curves.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
    except FileNotFoundError as error:
        raise MissingInputError(
            f"got no {LOG_FILE} in {folder}; expected the folder of a run", hint="check the path"
        ) from error
    return curves


def draw_curves(curves: Mapping[str, Curve], name: str) -> str:
    """Losses, held-out scores and the rate as SVG."""
    held_out = {k.removeprefix(HELD_OUT): c for k, c in curves.items() if k.startswith(HELD_OUT)}
    groups = [
        ("loss", {k.removeprefix(LOSS): c for k, c in curves.items() if k.startswith(LOSS)}),
        ("held-out F1", {k: c for k, c in held_out.items() if not is_error(k)}),
        ("held-out error, m", {k: c for k, c in held_out.items() if is_error(k)}),
        ("learning rate", {k: c for k, c in curves.items() if k == "rate"}),
    ]
    shown = [(title, own) for title, own in groups if own]
    widths = [0.7 if title == "learning rate" else 1.0 for title, _ in shown]
    with new_figure(11.5, 3.6) as figure:
        all_axes = figure.subplots(1, len(shown), squeeze=False, width_ratios=widths)[0]
        for axes, (title, own) in zip(all_axes, shown, strict=True):
            for label, curve in own.items():
                steps, values = zip(*curve, strict=True)
                strong = label.startswith(("mean/", "total")) or len(own) == 1
                (line,) = axes.plot(
                    steps,
                    smooth(list(values)) if len(curve) > SMOOTH_FROM else values,
                    label=label,
                    linewidth=2.0 if strong else 1.1,
                    marker="o" if len(curve) < 12 else None,
                    markersize=3.5,
                )
                if len(curve) > SMOOTH_FROM:
                    axes.plot(steps, values, color=line.get_color(), alpha=0.2, linewidth=0.8)
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.set_xlim(left=0)
            if title == "held-out F1":
                axes.set_ylim(0, 1)
            if 1 < len(own) <= 12:
                axes.legend(fontsize=8, loc="best", ncols=1 if len(own) < 7 else 2)
        return as_svg(figure, name)


def smooth(values: list[float]) -> list[float]:
    """Each value with its neighbours within a fortieth of the curve, averaged."""
    reach = max(1, len(values) // 40)
    smoothed = []
    for i in range(len(values)):
        near = [v for v in values[max(0, i - reach) : i + reach + 1] if math.isfinite(v)]
        smoothed.append(sum(near) / len(near) if near else math.nan)
    return smoothed
