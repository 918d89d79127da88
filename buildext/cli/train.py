"""`buildext train`: a config in, a trained and exported model out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click


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
    "--progress",
    "face",
    type=click.Choice(["auto", "json", "none"]),
    default="auto",
    show_default=True,
    help="A bar on the terminal, one JSON object a line, or nothing.",
)
def train(config: Path, out: Path | None, resume: bool, face: str) -> None:
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
    from rich.console import Console

    from buildext.learn.training.config import load_config
    from buildext.learn.training.run import train as run_training
    from buildext.progress import JsonProgress, Progress, RichProgress, SilentProgress

    faces: dict[str, Progress] = {"json": JsonProgress(), "none": SilentProgress()}
    progress = faces.get(face) or RichProgress(Console(stderr=True))
    folder = out or Path("runs") / load_config(config).name
    scores = run_training(config, folder, resume=resume, progress=progress)
    if isinstance(progress, JsonProgress):
        progress.emit("result", model=str(folder / "model"), held_out_f1=scores)
        return
    for name, value in scores.items():
        click.echo(f"held-out F1  {name:32s} {value:.3f}")
    click.echo(f"model: {folder / 'model'}")
