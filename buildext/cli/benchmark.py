"""`buildext benchmark`: which model is worth its time on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildext.cli.options import make_progress, manners, set_up_logging, watch_parent

if TYPE_CHECKING:
    from buildext.benchmark.result import Comparison

NAMES = ("benchmark.json", "benchmark.csv", "benchmark.png", "benchmark.html")


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--scene",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Image to judge by; may be repeated.  [default: the scenes of a checkout]",
)
@click.option(
    "--labels",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Its true buildings, polygons or a mask; once for each --scene.",
)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    type=click.Choice(["openvino", "onnxruntime", "torch"]),
    help="Engine to consider; may be repeated.  [default: all that are installed]",
)
@click.option("--threads", type=click.IntRange(0), default=0, help="CPU threads; 0 takes all.")
@click.option(
    "--tiles", type=click.IntRange(1), default=8, show_default=True, help="Tiles timed in a round."
)
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds of timing."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for JSON, CSV, the plot and a page.",
)
@manners
def benchmark(
    models: tuple[str, ...],
    images: tuple[Path, ...],
    labels: tuple[Path, ...],
    engines: tuple[str, ...],
    threads: int,
    tiles: int,
    rounds: int,
    out: Path | None,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Rank MODELs (bundled names, model folders or folders of runs) by accuracy and speed.

    Accuracy is what `extract` finds in labelled scenes; speed is that of the bare engine on their
    tiles, on this machine. Each model is tried in each engine and precision that it can run in.

    Example: buildext benchmark default default-int8 -o comparison
    """
    import json

    from rich.console import Console

    from buildext.benchmark.arms import arms_of
    from buildext.benchmark.run import compare
    from buildext.benchmark.scenes import bundled_scenes, given_scenes
    from buildext.cli.model_argument import find_model
    from buildext.errors import OutputExistsError, UsageError
    from buildext.evaluate.report import require_drawing
    from buildext.progress import JsonProgress

    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    if out is not None:
        require_drawing()
        if out.exists() and any(out.iterdir()):
            raise OutputExistsError(f"the folder {out} is not empty", hint="choose another --out")
    if len(set(models)) < len(models):
        raise UsageError("got a model twice", hint="name each model once")
    scenes = given_scenes(images, labels) if images or labels else bundled_scenes()
    found = [find_model(name) for name in models]
    arms = arms_of([(str(model.folder), model) for model in found], engines)
    progress = make_progress(progress_kind, quiet)
    comparison = compare(
        arms, scenes, tiles=tiles, rounds=rounds, threads=threads, progress=progress
    )
    if out is not None:
        _write(out, comparison)
    if isinstance(progress, JsonProgress):
        progress.emit("result", benchmark=json.loads(comparison.as_json()))
    elif not quiet:
        Console().print(_table(comparison))
        if out is not None:
            click.echo(f"page: {out / NAMES[3]}")


def _table(comparison: Comparison) -> object:
    """The ranking for a terminal; a star marks what nothing beats in accuracy and speed."""
    from rich.table import Table

    table = Table(caption="* no other is as accurate and as fast")
    for head in ("", "model", "engine", "arithmetic"):
        table.add_column(head)
    for head in ("pixel F1", "object F1", "MP/s", "spread"):
        table.add_column(head, justify="right")
    for row in comparison.table():
        objects = "–" if row["object_f1"] is None else f"{row['object_f1']:.3f}"
        table.add_row(
            str(row["rank"]),
            row["model"],
            row["engine"],
            row["arithmetic"],
            f"{row['pixel_f1']:.3f}{'*' if row['best_by_pixels'] else ' '}",
            f"{objects}{'*' if row['best_by_objects'] else ' '}",
            f"{row['mp_s']:.2f}",
            f"{row['slowest_mp_s']:.2f}–{row['fastest_mp_s']:.2f}",
        )
    return table


def _write(out: Path, comparison: Comparison) -> None:
    """All files of a comparison."""
    from buildext.atomic import atomic_path
    from buildext.benchmark.page import as_page, write_png

    out.mkdir(parents=True, exist_ok=True)
    texts = (comparison.as_json(), comparison.as_csv(), as_page(comparison))
    for name, text in zip((NAMES[0], NAMES[1], NAMES[3]), texts, strict=True):
        with atomic_path(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    with atomic_path(out / NAMES[2]) as temporary:
        write_png(temporary, comparison)
