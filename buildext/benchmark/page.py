"""The page and the picture: accuracy over speed, with a line through what nothing beats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from buildext.benchmark.result import Comparison
from buildext.page.document import (
    Row,
    document,
    facts,
    figure,
    number_cell,
    table,
    text_cell,
)
from buildext.page.figure import COLOURS, INK, as_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Models on this machine"
MARKERS = {"openvino": "o", "onnxruntime": "s", "torch": "^"}
SIZE_IN = 10.0, 6.5


def write_png(path: Path, comparison: Comparison) -> None:
    """The figure as a picture on white."""
    with new_figure(*SIZE_IN) as drawing:
        _draw(drawing, comparison)
        drawing.savefig(path, format="png", dpi=120, facecolor="white")


def as_page(comparison: Comparison) -> str:
    """One HTML page that stands for itself."""
    with new_figure(*SIZE_IN) as drawing:
        _draw(drawing, comparison)
        picture = as_svg(drawing, "front")
    machine = comparison.environment["machine"]
    versions = comparison.environment["versions"]
    body = f"<h1>{TITLE}</h1>\n" + facts(
        [
            ("processor", machine["processor"]),
            ("cores", machine["cores"]),
            *((name, versions[name]) for name in ("buildext", "openvino", "onnxruntime", "torch")),
        ]
    )
    body += figure(
        picture,
        "Pixel F1, mean over the scenes, over megapixels a second of the bare engine: median of "
        "the rounds, the bar from the slowest to the fastest. The line joins what no other arm "
        "beats in both.",
    )
    body += _ranking(comparison) + _scenes(comparison)
    return document(TITLE, body)


def _draw(drawing: Figure, comparison: Comparison) -> None:
    axes = drawing.subplots()
    names = list(dict.fromkeys(row.arm.name for row in comparison.rows))
    best = comparison.best()
    for rank, row in enumerate(comparison.rows, 1):
        colour = COLOURS[names.index(row.arm.name) % len(COLOURS)]
        speeds, middle = row.speed.rounds_mp_s, row.speed.median_mp_s
        axes.plot([min(speeds), max(speeds)], [row.pixel_f1] * 2, color=colour, alpha=0.5)
        axes.scatter(
            [middle],
            [row.pixel_f1],
            s=60,
            marker=MARKERS[row.arm.engine],
            color=colour if row.arm in best else "none",
            edgecolors=colour,
            zorder=3,
            label=f"{rank}  {row.arm}",
        )
        # In floats ONNX Runtime is as right and often as fast as OpenVINO: its number stands below.
        below = row.arm.engine == "onnxruntime"
        axes.annotate(
            str(rank),
            (middle, row.pixel_f1),
            xytext=(0, -8 if below else 8),
            textcoords="offset points",
            fontsize=9,
            ha="center",
            va="top" if below else "bottom",
        )
    front = sorted((r.speed.median_mp_s, r.pixel_f1) for r in comparison.rows if r.arm in best)
    axes.plot(*zip(*front, strict=True), color=INK, alpha=0.4, linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("megapixels a second")
    axes.set_ylabel("pixel F1")
    axes.margins(x=0.1, y=0.15)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=9, frameon=False)


def _ranking(comparison: Comparison) -> str:
    heads = ["#", "model", "engine", "arithmetic", "pixel F1", "object F1", "MP/s", "from", "to"]
    rows = []
    for plain in comparison.table():
        marks = [
            name
            for name, key in (("pixels", "best_by_pixels"), ("objects", "best_by_objects"))
            if plain[key]
        ]
        rows.append(
            Row(
                [
                    number_cell(plain["rank"], str(plain["rank"])),
                    text_cell(plain["model"]),
                    text_cell(plain["engine"]),
                    text_cell(plain["arithmetic"]),
                    number_cell(plain["pixel_f1"], f"{plain['pixel_f1']:.3f}"),
                    number_cell(plain["object_f1"], f"{plain['object_f1'] or 0:.3f}"),
                    number_cell(plain["mp_s"], f"{plain['mp_s']:.2f}"),
                    number_cell(plain["slowest_mp_s"], f"{plain['slowest_mp_s']:.2f}"),
                    number_cell(plain["fastest_mp_s"], f"{plain['fastest_mp_s']:.2f}"),
                    text_cell(", ".join(marks)),
                ]
            )
        )
    return "<h2>Ranking</h2>\n" + table([*heads, "unbeaten by"], rows, sortable=True)


def _scenes(comparison: Comparison) -> str:
    names = list(comparison.rows[0].by_scene)
    heads = ["arm", *(f"{name} {kind}" for name in names for kind in ("pixels", "objects"))]
    rows = []
    for row in comparison.rows:
        cells = [text_cell(str(row.arm))]
        for name in names:
            for score in (row.by_scene[name].pixel_f1, row.by_scene[name].object_f1):
                cells.append(number_cell(score, f"{score or 0:.3f}"))
        rows.append(Row(cells))
    return "<h2>Scene by scene</h2>\n" + table(heads, rows, sortable=True)
