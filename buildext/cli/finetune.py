"""`buildext finetune`: corrected buildings of a place in, a better model for that place out."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildext.cli.options import (
    make_progress,
    manners,
    overwrite_option,
    set_up_logging,
    watch_parent,
)

if TYPE_CHECKING:
    from buildext.learn.training.finetuning.finetune import FinetuneReport


@click.command()
@click.option(
    "--scene",
    "scenes",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="Raster, or folder of rasters; several make one scene.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    required=True,
    help="Vector file with about twenty buildings, one polygon each.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder that appears: model/, data/, run/ and report.json.",
)
@click.option("--model", default="default", show_default=True, help="Model to begin with.")
@click.option(
    "--area",
    type=click.Path(path_type=Path),
    help="Vector file: inside its polygons all buildings are drawn.  [default: only the labels "
    "and their surroundings are known]",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Steps of training, four tiles each.  [default: 40]",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1, min_open=True),
    help="How far to go from the old model to the trained one.  [default: 0.5]",
)
@click.option(
    "--hold-out",
    type=click.FloatRange(0, 0.5),
    help="Share of the labels for the test, where there are twelve or more.  [default: 0.25]",
)
@click.option("--licence", help="Of the labels, for the model's card.  [default: not stated]")
@click.option("--seed", type=click.IntRange(min=0), help="Of all that is random.  [default: 0]")
@click.option("--threads", type=click.IntRange(min=0), help="Of the processor.  [default: all]")
@overwrite_option
@manners
def finetune(
    scenes: tuple[Path, ...],
    labels: Path,
    out: Path,
    model: str,
    area: Path | None,
    steps: int | None,
    strength: float | None,
    hold_out: float | None,
    licence: str | None,
    seed: int | None,
    threads: int | None,
    overwrite: bool,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Make a model better for one place with a few corrected buildings.

    Correct or draw about twenty buildings, some of them where the model is wrong. A quarter of them
    is not learned from but tells whether the new model is better. What the model knew of other
    places is kept.

    Example: buildext finetune --scene city.tif --labels mine.gpkg -o tuned, then
    buildext extract city.tif -o buildings.gpkg --model tuned/model
    """
    from buildext.errors import UsageError

    if find_spec("torch") is None:
        raise UsageError(
            "fine-tuning needs torch, which is not installed",
            hint='pip install "buildext[train]"',
        )
    from buildext.learn.training.finetuning.finetune import FinetuneOptions
    from buildext.learn.training.finetuning.finetune import finetune as run
    from buildext.progress import JsonProgress

    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    progress = make_progress(progress_kind, quiet)
    chosen = {
        "steps": steps,
        "strength": strength,
        "hold_out": hold_out,
        "licence": licence,
        "seed": seed,
        "threads": threads,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    options = FinetuneOptions(model=model, area=area, **given)  # type: ignore[arg-type]
    report = run(scenes, labels, out, options, overwrite=overwrite, progress=progress)
    if isinstance(progress, JsonProgress):
        progress.emit("result", **asdict(report))
    elif not quiet:
        _show(report)


def _show(report: FinetuneReport) -> None:
    """The report in a few lines."""
    click.echo(f"learned from {report.learned} buildings in {report.seconds / 60:.1f} minutes")
    if report.before is not None and report.after is not None:
        click.echo(f"on {report.held_out} buildings held out  {'before':>6s} {'after':>6s}")
        for name, label in (
            ("f1", "pixel F1"),
            ("precision", "precision"),
            ("recall", "recall"),
        ):
            old, new = getattr(report.before, name), getattr(report.after, name)
            click.echo(f"  {label:24s} {old:6.3f} {new:6.3f}")
    click.echo(f"model: {report.model}")
