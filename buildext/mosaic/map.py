"""A map of a mosaic's blocks as an SVG: how many buildings stand where, and what failed.

One square a block, darker where more buildings are on a hectare of data. It is drawn by hand: a few
hundred rectangles need no library for plots, which the core does not install.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from itertools import pairwise

from buildext.mosaic.grid import BlockId, MosaicGrid
from buildext.mosaic.rows import BlockRow

# From few buildings a hectare to many; readable on light and dark paper.
_SHADES = ("#cfe3e8", "#9fcad4", "#6cafbd", "#3c8fa1", "#17697c", "#0a4453")
_LIMITS_PER_HA = (1, 5, 10, 20, 40)
_FAILED, _EMPTY = "#b8442f", "none"
_M2_PER_HA = 10_000
_WIDEST, _LARGEST_SQUARE = 720, 48


def block_map(grid: MosaicGrid, blocks: Sequence[BlockRow], failed: Mapping[BlockId, str]) -> str:
    """An `<svg>` element; every block tells its name and its count when it is pointed at."""
    places = [row.block for row in blocks] + list(failed)
    top, left = min(b.row for b in places), min(b.col for b in places)
    rows = max(b.row for b in places) - top + 1
    cols = max(b.col for b in places) - left + 1
    side = max(2.0, min(_LARGEST_SQUARE, _WIDEST / cols))
    width, height = cols * side, rows * side
    squares = [
        _square(row.block, top, left, side, _shade(row, grid.gsd_m), _told(row)) for row in blocks
    ]
    squares += [
        _square(block, top, left, side, _FAILED, f"{block}: {why}") for block, why in failed.items()
    ]
    return (
        f'<svg viewBox="-1 -1 {width + 2:.1f} {height + 2:.1f}" '
        f'style="max-width:{max(width, 120):.0f}px" role="img">\n{"".join(squares)}</svg>'
        f"{_legend(bool(failed))}"
    )


def _square(block: BlockId, top: int, left: int, side: float, colour: str, told: str) -> str:
    x, y = (block.col - left) * side, (block.row - top) * side
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" fill="{colour}" '
        f'stroke="currentColor" stroke-opacity=".25" stroke-width=".5">'
        f"<title>{html.escape(told)}</title></rect>\n"
    )


def _shade(row: BlockRow, gsd_m: float) -> str:
    if not row.valid_px:
        return _EMPTY
    per_ha = row.buildings / (row.valid_px * gsd_m**2) * _M2_PER_HA
    return _SHADES[sum(per_ha >= limit for limit in _LIMITS_PER_HA)]


def _told(row: BlockRow) -> str:
    if not row.valid_px:
        return f"{row.block}: no data"
    return f"{row.block}: {row.buildings:,} buildings"


def _legend(failures: bool) -> str:
    names = [f"< {_LIMITS_PER_HA[0]}"]
    names += [f"{a}–{b}" for a, b in pairwise(_LIMITS_PER_HA)]
    names += [f"≥ {_LIMITS_PER_HA[-1]} buildings/ha"]
    pairs = [*zip(_SHADES, names, strict=True), *([(_FAILED, "failed")] if failures else [])]
    return (
        '<p class="soft">'
        + " ".join(
            f'<span style="background:{colour}">&emsp;</span> {html.escape(name)}&ensp;'
            for colour, name in pairs
        )
        + "</p>"
    )
