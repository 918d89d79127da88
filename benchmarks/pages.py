"""The pages that `make matrix` writes: the table of pairs, and the tables of encoders.

`docs/matrix.md` is written whole. In `docs/networks.md` only what stands between two markers is
replaced; the text around it is written by hand.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.papers import MEASURED, PRINTED
from buildext.learn.networks.catalogue import listed_names, read_catalogue

DOCS = Path(__file__).parents[1] / "docs"
MARKS = {"ok": "✓", "refused": "–", "fails": "✗"}


def write_pages(records: list[dict[str, Any]]) -> None:
    """Write both pages from the records of pairs and the stored figures."""
    (DOCS / "matrix.md").write_text(matrix_page(records), encoding="utf-8")
    page = DOCS / "networks.md"
    text = page.read_text("utf-8")
    text = fill(text, "encoders", encoder_table())
    text = fill(text, "papers", paper_table())
    page.write_text(text, encoding="utf-8")


def fill(text: str, name: str, content: str) -> str:
    """Replace what stands between the markers called `name`."""
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = text.split(first)
    _, after = rest.split(last)
    return f"{before}{first}\n\n{content}\n{last}{after}"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(header)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def encoder_table() -> str:
    rows = [
        (
            f"`{one.name}`",
            one.family,
            f"{one.figures.parameters / 1e6:.2f}",
            f"{one.figures.macs / 1e9:.3f}",
            ", ".join(map(str, one.figures.strides)),
            f"`{one.weights}`" if one.weights else "",
            one.reference,
        )
        for one in read_catalogue()
    ]
    header = ("encoder", "family", "parameters, M", "MACs at 256, G", "strides", "weights", "paper")
    return table(header, rows)


def paper_table() -> str:
    measured = json.loads(MEASURED.read_text("utf-8"))
    rows = []
    for row in PRINTED:
        ours = measured[row.name]
        parameters_m, macs_m = ours["parameters"] / 1e6, ours["macs"] / 1e6
        rows.append(
            (
                f"`{row.name}`",
                f"{row.parameters_m:g}",
                f"{parameters_m:.2f}",
                f"{100 * (parameters_m / row.parameters_m - 1):+.1f} %",
                f"{row.macs_m:g}",
                f"{macs_m:.0f}",
                f"{100 * (macs_m / row.macs_m - 1):+.1f} %",
                str(row.side_px),
                row.source,
            )
        )
    header = (
        *("encoder", "parameters, M: paper", "here", "difference"),
        *("MACs, M: paper", "here", "difference", "image, px", "paper"),
    )
    return table(header, rows)


def matrix_page(records: list[dict[str, Any]]) -> str:
    from buildext.learn.networks.decoders.table import DECODERS

    names = listed_names()
    known = {(row["encoder"], row["decoder"]): row for row in records}
    pairs = [(encoder, decoder) for encoder in names for decoder in DECODERS]
    counts = Counter(known[pair]["result"] if pair in known else "not run" for pair in pairs)
    rows = [
        [f"`{encoder}`", *(cell(known.get((encoder, decoder))) for decoder in DECODERS)]
        for encoder in names
    ]
    worst = {
        engine: max((row[engine] for row in records if row["result"] == "ok"), default=0.0)
        for engine in ("onnxruntime", "openvino")
    }
    reasons = [
        (f"`{encoder}`", f"`{decoder}`", known[encoder, decoder]["result"], reason)
        for encoder, decoder in pairs
        if (reason := known.get((encoder, decoder), {}).get("why"))
    ]
    return f"""# Which encoders go with which decoders

Written by `make matrix`; do not edit. {len(names)} encoders × {len(DECODERS)} decoders =
{len(pairs)} pairs: **{counts["ok"]} work**, {counts["refused"]} are refused, {counts["fails"]}
fail, {counts["not run"]} have not been run.

A pair works if it is built the same twice from one seed, gives logits of the image's size at
square, non-square and odd sizes, gives every parameter a finite gradient in a batch of one, is
exported, computes in ONNX Runtime and in OpenVINO what it computes in torch, and is filled again
from the exported file key by key. The largest difference of a probability over all pairs was
{worst["onnxruntime"]:.1e} (ONNX Runtime) and {worst["openvino"]:.1e} (OpenVINO); 2e-3 is allowed.

✓ stands before millions of parameters / billions of multiply-accumulates for 256 × 256 pixels of
the whole network, with the decoder's own widths, a `conv` head and two channels; – is refused, ✗
fails, an empty cell has not been run.

{table(("encoder", *(entry.title for entry in DECODERS.values())), rows)}
{"## Reasons" if reasons else ""}

{table(("encoder", "decoder", "result", "reason"), reasons) if reasons else ""}"""


def cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    mark = MARKS[row["result"]]
    if row["result"] != "ok":
        return mark
    return f"{mark} {row['parameters'] / 1e6:.1f} / {row['macs'] / 1e9:.1f}"
