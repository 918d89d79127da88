"""The plan on paper: `plan.json` for programs, `plan.html` with a map for people."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from buildext.atomic import atomic_path
from buildext.extract.preflight import duration
from buildext.grid.window import Window
from buildext.mosaic.estimate import Estimate
from buildext.mosaic.grid import BlockId
from buildext.mosaic.plan import Plan, PlannedFile
from buildext.page.document import Row, document, facts, figure, number_cell, table, text_cell

JSON_NAME, PAGE_NAME = "plan.json", "plan.html"
_WIDTH = 1000
# More outlines than this are a grey area on the map and seconds in a browser.
_MAX_OUTLINES = 5000
_STYLE = """
.plan rect { vector-effect: non-scaling-stroke; }
.plan .block { fill: none; stroke: currentColor; stroke-opacity: .45; stroke-width: 1; }
.plan .file { fill: #3a86c8; fill-opacity: .16; stroke: #3a86c8; stroke-width: .6; }
.plan .warped { fill: #e07b39; stroke: #e07b39; }
"""


def write_plan(
    out: Path, plan: Plan, without: frozenset[int], notes: dict[str, str], expected: Estimate
) -> tuple[Path, Path]:
    """Write both files.

    Args:
        out: folder of the mosaic.
        plan: what is to be done.
        without: numbers of planned files that are left out.
        notes: by name what is wrong with files that are left out.
        expected: see there.
    """
    used = [file for file in plan.files if file.number not in without]
    json_path, page_path = out / JSON_NAME, out / PAGE_NAME
    with atomic_path(json_path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(_as_json(plan, used, notes, expected), indent=1), "utf-8")
    with atomic_path(page_path, overwrite=True) as temporary:
        temporary.write_text(_page(out, plan, used, notes, expected), "utf-8")
    return json_path, page_path


def _as_json(
    plan: Plan, used: list[PlannedFile], notes: dict[str, str], expected: Estimate
) -> dict[str, Any]:
    grid = plan.grid
    return {
        "estimate": expected.to_json(),
        **plan.lattice.to_json(),
        "files": [
            {
                "number": file.number,
                "name": file.name,
                "group": file.group,
                "resampling": file.placed.resampling and file.placed.resampling.name,
                "bounds": _bounds(plan, file.window),
            }
            for file in used
        ],
        "left_out": notes,
        "stretches": {group: s.describe() for group, s in plan.stretches.items()},
        "blocks": [
            {"name": block.name, "bounds": _bounds(plan, grid.window(block)), "files": len(places)}
            for block, places in plan.blocks.items()
        ],
    }


def _bounds(plan: Plan, window: Window) -> list[float]:
    """West, south, east, north in the mosaic's CRS."""
    west, north = plan.grid.transform @ (window.col, window.row)
    east, south = plan.grid.transform @ (window.col_stop, window.row_stop)
    return [west, south, east, north]


def _page(
    out: Path, plan: Plan, used: list[PlannedFile], notes: dict[str, str], expected: Estimate
) -> str:
    grid = plan.grid
    authority = grid.crs.to_authority()
    crs = ":".join(authority) if authority else grid.crs.to_wkt()[:60]
    title = f"Plan of the mosaic {out.resolve().name}"
    body = f"<h1>{html.escape(title)}</h1>" + facts(
        [
            ("files", f"{expected.files}"),
            ("blocks", f"{expected.blocks}"),
            ("pixels", f"{expected.pixels / 1e6:,.1f} million of {grid.gsd_m:.3f} m"),
            ("tiles", f"{expected.tiles}"),
            ("time", f"{duration(expected.seconds)} on {expected.workers} worker(s)"),
            ("disk", f"{expected.disk_bytes / 1e6:,.0f} MB"),
            ("CRS", crs),
        ]
    )
    caption = (
        "Blocks (lines) and files: blue ones are read as they are, orange ones are warped onto "
        "the grid of the mosaic."
    )
    body += figure(_map(plan, used), caption)
    body += "<h2>Sensor groups</h2>" + _groups(plan, used)
    if notes:
        rows = [
            Row([text_cell(name), text_cell(note, "text wrap")]) for name, note in notes.items()
        ]
        body += "<h2>Left out</h2>" + table(["file", "reason"], rows)
    return document(title, body, style=_STYLE)


def _groups(plan: Plan, used: list[PlannedFile]) -> str:
    rows = []
    for group, stretch in plan.stretches.items():
        count = sum(file.group == group for file in used)
        bounds = "; ".join(
            f"{a:g} to {b:g}" for a, b in zip(stretch.low, stretch.high, strict=True)
        )
        rows.append(
            Row(
                [
                    text_cell(group),
                    number_cell(count, str(count)),
                    text_cell(stretch.method),
                    text_cell(bounds),
                ]
            )
        )
    return table(["group", "files", "stretch", "from … to, by band"], rows, sortable=True)


def _map(plan: Plan, used: list[PlannedFile]) -> str:
    windows = [plan.grid.window(block) for block in plan.blocks]
    row, col = min(w.row for w in windows), min(w.col for w in windows)
    height = max(w.row_stop for w in windows) - row
    width = max(w.col_stop for w in windows) - col
    scale = _WIDTH / width

    def rectangle(window: Window, kind: str, title: str) -> str:
        x, y = (window.col - col) * scale, (window.row - row) * scale
        return (
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{window.width * scale:.1f}" '
            f'height="{window.height * scale:.1f}"><title>{html.escape(title)}</title></rect>'
        )

    shapes = [
        rectangle(f.window, "file" if f.placed.resampling is None else "file warped", f.name)
        for f in used[:_MAX_OUTLINES]
    ]
    shapes += [
        rectangle(plan.grid.window(block), "block", _block_title(block, places))
        for block, places in list(plan.blocks.items())[:_MAX_OUTLINES]
    ]
    return (
        f'<svg class="plan" viewBox="-2 -2 {_WIDTH + 4} {height * scale + 4:.1f}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(shapes)}</svg>'
    )


def _block_title(block: BlockId, places: tuple[int, ...]) -> str:
    return f"block {block.name}: {len(places)} files"
