"""An HTML document in one file: no script, font, style or picture is loaded from elsewhere.

Light and dark follow the reader's system. Tables whose head is clicked sort by that column; without
scripts they are plain tables.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5d6b7a; --paper: #ffffff;
  --panel: #f4f6f8; --line: #dde3e9; --link: #0f6e84; --good: #1f8a5f; --bad: #b8442f; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe6ee; --soft: #93a1b1; --paper: #14191f;
  --panel: #1d242c; --line: #313b46; --link: #6cc5db; --good: #5cc79a; --bad: #ee8a74; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 84rem; background: var(--paper);
  color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.02rem; margin: 1.6rem 0 .4rem; }
p, ul { max-width: 48rem; }
a { color: var(--link); }
.soft, figcaption, .remark { color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0; padding: 0; }
.facts div { background: var(--panel); border-radius: 8px; padding: .55rem .9rem; }
.facts dt { color: var(--soft); font-size: .8rem; } .facts dd { margin: 0; font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { text-align: right; color: var(--soft); font-weight: 600; background: var(--panel); }
th.text, td.text { text-align: left; } td.wrap { white-space: normal; min-width: 9rem; }
table.sortable th { cursor: pointer; } th[aria-sort=ascending]::after { content: " ▲"; }
th[aria-sort=descending]::after { content: " ▼"; }
tr:target { outline: 2px solid var(--link); } tbody tr:hover { background: var(--panel); }
tr.out td { color: var(--soft); }
figure { margin: 1rem 0; } figcaption { font-size: .86rem; max-width: 48rem; }
svg { width: 100%; height: auto; color: var(--ink); display: block; }
svg a:hover path, svg a:hover use { stroke-width: 3px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 1rem; }
.tiles figure { margin: 0; background: var(--panel); border-radius: 8px; padding: .7rem; }
.tiles div { display: flex; gap: .35rem; } .tiles img { width: 25%; flex: 1; min-width: 0;
  border-radius: 4px; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--link); }
pre { background: var(--panel); padding: .8rem 1rem; border-radius: 8px; overflow-x: auto;
  font-size: .82rem; }
"""
# A cell sorts by its data-key where it has one; whatever has no key stays at the end.
_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.key ?? "";
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }));
}
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        html: what is shown; already escaped.
        key: what it sorts by; empty: always last.
        kind: classes, such as `text` for what is set flush left.
        style: inline style.
    """

    html: str
    key: str = ""
    kind: str = ""
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; `name` is what links point to."""

    cells: Sequence[Cell]
    name: str = ""
    kind: str = ""


def text_cell(text: str, kind: str = "text") -> Cell:
    """A cell with plain text."""
    return Cell(html.escape(text), text, kind)


def number_cell(value: float | None, shown: str) -> Cell:
    """A cell with a number; a missing one is a dash."""
    if value is None or value != value:
        return Cell("–")
    return Cell(html.escape(shown), f"{value:.9g}")


def table(heads: Sequence[str], rows: Sequence[Row], *, sortable: bool = False) -> str:
    """A table; a column is set flush left where its first cell is."""
    first = rows[0].cells if rows else [Cell("")] * len(heads)
    top = "".join(
        f'<th class="{"text" if "text" in cell.kind else ""}">{html.escape(head)}</th>'
        for head, cell in zip(heads, first, strict=True)
    )
    body = "".join(_row(row) for row in rows)
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{top}</tr></thead>'
        f"<tbody>\n{body}</tbody></table></div>\n"
    )


def figure(picture: str, caption: str) -> str:
    """A picture (an SVG or images, as HTML) with a caption (plain text)."""
    return f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>\n"


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Short facts side by side: names and values, both plain text."""
    parts = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in pairs
    )
    return f'<dl class="facts">{"".join(parts)}</dl>\n'


def document(title: str, body: str, *, style: str = "") -> str:
    """The whole page; `body` is HTML, `title` plain text, `style` CSS after the common one."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"{body}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _row(row: Row) -> str:
    cells = "".join(
        f'<td class="{cell.kind}"'
        + (f' data-key="{html.escape(cell.key)}"' if cell.key else "")
        + (f' style="{cell.style}"' if cell.style else "")
        + f">{cell.html}</td>"
        for cell in row.cells
    )
    name = f' id="{row.name}"' if row.name else ""
    return f'<tr{name} class="{row.kind}">{cells}</tr>\n'
