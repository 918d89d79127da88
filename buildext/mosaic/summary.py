"""The page about a mosaic: totals, a map, what went wrong, and where the time went."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

from buildext.mosaic.grid import BlockId, MosaicGrid
from buildext.mosaic.map import block_map
from buildext.mosaic.rows import BlockRow, SourceRow
from buildext.mosaic.times import Times
from buildext.mosaic.totals import SIZES_M2, Count, Totals
from buildext.page.document import Row, document, facts, figure, number_cell, table, text_cell

# A page with more rows is slow to open; the rest stands in the ledger and the catalogue.
_MOST_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Account:
    """All that is known of a mosaic when it is finished.

    Attributes:
        name: of the mosaic.
        grid: its lattice.
        blocks: all blocks that are done.
        sources: all files, those too that are damaged or no longer part of the mosaic.
        failed: blocks that were given up, and why.
        totals: counts of the layer.
        settings: of the run.
    """

    name: str
    grid: MosaicGrid
    blocks: Sequence[BlockRow]
    sources: Sequence[SourceRow]
    failed: Mapping[BlockId, str]
    totals: Totals
    settings: Mapping[str, Any]


def write_summary(account: Account, outputs: Sequence[PurePath], times: Times) -> str:
    """The page as HTML.

    Args:
        account: of the mosaic.
        outputs: relative paths, to link to.
        times: of the run that is ending.
    """
    totals, grid = account.totals, account.grid
    valid_px = sum(row.valid_px for row in account.blocks)
    damaged = [row for row in account.sources if row.state == "damaged"]
    used = [row for row in account.sources if row.state == "used"]
    done = [row for row in account.blocks if row.valid_px]
    mean = totals.confidence_sum / max(totals.all.buildings, 1)
    body = [
        f"<h1>{html.escape(account.name)}</h1>",
        facts(
            [
                ("buildings", f"{totals.all.buildings:,}"),
                ("their area", _hectares(totals.all.area_m2)),
                ("mean confidence", f"{mean:.3f}"),
                ("pixels with data", _pixels(valid_px)),
                ("ground with data", f"{valid_px * grid.gsd_m**2 / 1e6:,.2f} km²"),
                ("metres per pixel", f"{grid.gsd_m:.3g}"),
                ("files used", str(len(used))),
                ("files left out", str(len(damaged))),
                ("blocks with data", str(len(done))),
                ("blocks failed", str(len(account.failed))),
            ]
        ),
        _wrong(damaged, account.failed),
        "<h2>Where</h2>",
        figure(
            block_map(grid, account.blocks, account.failed),
            f"Blocks of {grid.block_px} × {grid.block_px} pixels, north up; the colour is the "
            "number of buildings for each hectare with data, squares without colour have none.",
        ),
        "<h2>By size</h2>",
        _counts("area, m²", _size_names(), totals.by_size, totals.all),
        "<h2>By outline</h2>",
        _statuses(totals),
        "<h2>By file</h2>",
        _by_source(account),
        "<h2>By block</h2>",
        _by_block(account),
        "<h2>Time</h2>",
        _times(account, times),
        "<h2>Outputs</h2>",
        "<ul>" + "".join(_link(path) for path in outputs) + "</ul>",
        "<details><summary>Settings</summary><pre>"
        + html.escape(json.dumps(dict(account.settings), indent=1, default=str))
        + "</pre></details>",
    ]
    return document(f"{account.name}: buildings", "\n".join(body))


def _wrong(damaged: Sequence[SourceRow], failed: Mapping[BlockId, str]) -> str:
    """What is missing in the result, before anything else is said about it."""
    if not damaged and not failed:
        return '<p class="good">Every file could be read and every block is done.</p>'
    parts = ['<h2 class="bad">What is missing</h2>']
    if damaged:
        parts.append(
            "<p>These files could not be used. The ground that they show alone is empty.</p>"
        )
        rows = [Row([text_cell(row.name), text_cell(row.note, "text wrap")]) for row in damaged]
        parts.append(table(["file", "what was wrong"], rows))
    if failed:
        parts.append(
            "<p>These blocks failed and hold no building. Buildings at their sides are cut, and "
            "say so in <code>touches_edge</code>.</p>"
        )
        rows = [
            Row([text_cell(str(block)), text_cell(why, "text wrap")])
            for block, why in sorted(failed.items())
        ]
        parts.append(table(["block", "why"], rows))
    return "\n".join(parts)


def _size_names() -> list[str]:
    names = [f"{low:,} to {high:,}" for low, high in pairwise(SIZES_M2)]
    return [*names, f"{SIZES_M2[-1]:,} and more"]


def _statuses(totals: Totals) -> str:
    kinds = sorted(totals.by_status)
    names = [*kinds, "touches an edge"]
    counts = [totals.by_status[kind] for kind in kinds]
    return _counts("outline", names, [*counts, totals.at_edge], totals.all)


def _counts(head: str, names: Sequence[str], counts: Sequence[Count], whole: Count) -> str:
    rows = [
        Row(
            [
                text_cell(name),
                number_cell(count.buildings, f"{count.buildings:,}"),
                number_cell(
                    count.buildings, f"{100 * count.buildings / max(whole.buildings, 1):.1f} %"
                ),
                number_cell(count.area_m2, _hectares(count.area_m2)),
            ]
        )
        for name, count in zip(names, counts, strict=True)
    ]
    return table([head, "buildings", "share", "area"], rows)


def _by_source(account: Account) -> str:
    by_number = account.totals.by_source
    listed = sorted(
        (row for row in account.sources if row.state != "gone" or row.number in by_number),
        key=lambda row: (-by_number.get(row.number, Count()).buildings, row.number),
    )
    rows = []
    for source in listed[:_MOST_ROWS]:
        count = by_number.get(source.number, Count())
        state = text_cell(source.state, "text" if source.state == "used" else "text bad")
        rows.append(
            Row(
                [
                    text_cell(source.name),
                    state,
                    text_cell(source.acquired),
                    text_cell(source.group),
                    number_cell(count.buildings, f"{count.buildings:,}"),
                    number_cell(count.area_m2, _hectares(count.area_m2)),
                ]
            )
        )
    heads = ["file", "state", "acquired", "sensor", "buildings", "area"]
    return (
        "<p>A building counts for the file that shows most of it.</p>"
        + table(heads, rows, sortable=True)
        + _cut(len(listed))
    )


def _by_block(account: Account) -> str:
    by_block = account.totals.by_block
    listed = sorted((row for row in account.blocks if row.valid_px), key=lambda row: -row.buildings)
    rows = []
    for row in listed[:_MOST_ROWS]:
        count = by_block.get(row.block, Count())
        rows.append(
            Row(
                [
                    text_cell(row.block.name),
                    number_cell(count.buildings, f"{count.buildings:,}"),
                    number_cell(count.area_m2, _hectares(count.area_m2)),
                    number_cell(row.valid_px, f"{row.valid_px / 1e6:,.1f}"),
                    number_cell(row.probability_s, f"{row.probability_s:,.1f}"),
                    number_cell(row.footprints_s, f"{row.footprints_s:,.1f}"),
                ]
            )
        )
    heads = ["block", "buildings", "area", "megapixels", "network, s", "outlines, s"]
    return (
        "<p>A building counts for the block of its first pixel.</p>"
        + table(heads, rows, sortable=True)
        + _cut(len(listed))
    )


def _times(account: Account, times: Times) -> str:
    """The parts of the last run, and what the stages took since the mosaic was begun."""
    total = times.total
    rows = []
    for part, span in [*times.spans.items(), ("the run from end to end", total)]:
        wall = 100 * span.wall_s / max(total.wall_s, 1e-9)
        cpu = 100 * span.cpu_s / max(total.cpu_s, 1e-9)
        rows.append(
            Row(
                [
                    text_cell(part),
                    number_cell(span.wall_s, _duration(span.wall_s)),
                    number_cell(wall, f"{wall:.1f} %"),
                    number_cell(span.cpu_s, _duration(span.cpu_s)),
                    number_cell(cpu, f"{cpu:.1f} %"),
                ]
            )
        )
    stages = [
        ("network, all runs", _duration(sum(row.probability_s for row in account.blocks))),
        ("outlines, all runs", _duration(sum(row.footprints_s for row in account.blocks))),
    ]
    return table(["part", "by the clock", "share", "core-seconds", "share"], rows) + facts(stages)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _pixels(count: int) -> str:
    return f"{count / 1e9:,.2f} GP" if count >= 1e9 else f"{count / 1e6:,.1f} MP"


def _hectares(area_m2: float) -> str:
    return f"{area_m2 / 1e4:,.2f} ha"


def _cut(count: int) -> str:
    if count <= _MOST_ROWS:
        return ""
    return f'<p class="soft">The first {_MOST_ROWS:,} of {count:,}; the ledger has them all.</p>'


def _link(path: PurePath) -> str:
    name = html.escape(Path(path).as_posix())
    return f'<li><a href="{name}">{name}</a></li>'
