"""`buildext search`: a network made to constraints."""

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
    help="Folder of the search  [default: searches/NAME, with the search's name].",
)
@click.option("--report", is_flag=True, help="Search nothing: write the page anew.")
@manners
def search(
    config: Path,
    out: Path | None,
    report: bool,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Search a network that keeps the constraints of CONFIG (a TOML file).

    Stopped at any moment and started again with the same command, it goes on where it was. The
    output folder gets the model, the training config to train it further, a study of the finalists
    against hand-designed networks, and search.html.

    Example: buildext search recipes/search-30ms.toml --out searches/30ms
    """
    from buildext.errors import UsageError

    if find_spec("torch") is None or find_spec("matplotlib") is None:
        raise UsageError(
            "a search needs torch and matplotlib, which are not installed",
            hint='pip install "buildext[train,search]"',
        )
    from buildext.learn.search.config import load_search
    from buildext.learn.search.outcome import MODEL_FOLDER
    from buildext.learn.search.run import Search
    from buildext.progress import JsonProgress

    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    progress = make_progress(progress_kind, quiet)
    folder = out or Path("searches") / load_search(config)[0].name
    whole = Search(config, folder, progress)
    if report:
        whole.write_page()
        if not quiet:
            click.echo(f"page: {whole.page}")
        return
    best = whole.run()
    if isinstance(progress, JsonProgress):
        progress.emit(
            "result",
            model=str(folder / MODEL_FOLDER),
            page=str(whole.page),
            network=best.label,
            latency_ms=best.latency_ms,
            parameters=best.parameters,
        )
    elif not quiet:
        size = f"{best.latency_ms:.1f} ms, {best.parameters / 1e6:.2f} M parameters"
        click.echo(f"best: {best.label}, {size}")
        click.echo(f"model: {folder / MODEL_FOLDER}")
        click.echo(f"page: {whole.page}")
