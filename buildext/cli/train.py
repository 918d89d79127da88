"""`buildext train`: a config in, a trained and exported model out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from buildext.cli.options import make_progress, manners, set_up_logging, watch_parent


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the run  [default: runs/NAME, with the config's name].",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in the output folder.")
@click.option(
    "--snapshot",
    type=click.Path(path_type=Path, file_okay=False),
    help="Train nothing: export the last checkpoint of the run in --out to this folder.",
)
@manners
def train(
    config: Path,
    out: Path | None,
    resume: bool,
    snapshot: Path | None,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Train a network as CONFIG (a TOML file) says and export it.

    The output folder gets the checkpoint, the resolved config, versions and hashes of everything
    that went in, the log (CSV and TensorBoard) and model/, which `buildext extract --model` takes.

    Example: buildext train recipes/default.toml --out runs/default
    """
    from buildext.errors import UsageError

    if find_spec("torch") is None:
        raise UsageError(
            "training needs torch, which is not installed",
            hint='pip install "buildext[train]"',
        )
    from buildext.learn.training.config import load_config
    from buildext.learn.training.run import export_run
    from buildext.learn.training.run import train as run_training
    from buildext.progress import JsonProgress

    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    progress = make_progress(progress_kind, quiet)
    run = out or Path("runs") / load_config(config).name
    scores: dict[str, float] = {}
    if snapshot is not None:
        export_run(run, snapshot)
    else:
        scores = run_training(config, run, resume=resume, progress=progress).scores
    model = snapshot or run / "model"
    if isinstance(progress, JsonProgress):
        progress.emit("result", model=str(model), held_out_f1=scores)
    elif not quiet:
        for name, value in scores.items():
            click.echo(f"F1  {name:40s} {value:.3f}")
        click.echo(f"model: {model}")
