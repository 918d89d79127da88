"""Figures as inline SVG that follow the page's colours.

matplotlib draws; what it draws in one agreed colour becomes `currentColor`, so axes and text are
dark on a light page and light on a dark one. Text stays text. A point that was given the address
of a row (`#...`) and a title becomes a link with a tooltip.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stands for "the page's own text colour" until the SVG is written; used by nothing else.
INK = "#010203"
# Readable on white and on black, and to most colour-blind readers (after Wong, "Points of view:
# Color blindness", Nature Methods 8, 2011).
COLOURS = ("#3a86c8", "#e07b39", "#2a9d74", "#b0679b", "#c9a227", "#5bb5d9", "#c0504d", "#808080")
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    # Without it, the names of clip paths are drawn at random and no two pages are equal.
    "svg.hashsalt": "buildext",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.13,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@contextmanager
def new_figure(width_in: float, height_in: float) -> Iterator[Figure]:
    """A figure in the pages' style; inches are of 72 units of the SVG.

    It is made without pyplot: no window system is asked for, and nothing is left behind.
    """
    from cycler import cycler
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {**_STYLE, "axes.prop_cycle": cycler(color=COLOURS)}
    with rc_context(style):
        yield Figure(figsize=(width_in, height_in), layout="constrained")


def as_svg(figure: Figure, name: str, titles: Mapping[str, str] | None = None) -> str:
    """An `<svg>` element for the middle of a page; call it inside `new_figure`.

    Args:
        figure: drawn.
        name: unique on the page; goes before every id, since SVGs in one page share one space.
        titles: tooltip by address, for what was drawn with `set_urls`.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'<use xlink:href="#', f'<use xlink:href="#{name}-', text)
    # The width comes from the page; the view box keeps the proportions.
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="([^"]*)"', r'\1 style="max-width:\2"', text, count=1)
    for address, title in (titles or {}).items():
        opening = f'<a xlink:href="{address}"'
        text = re.sub(
            rf"({re.escape(opening)}[^>]*>)",
            lambda found, title=title: f"{found.group(1)}<title>{html.escape(title)}</title>",  # type: ignore[misc]
            text,
        )
    return text
