"""`buildext study`: many trainings that differ in few things, ranked on one page."""

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
    help="Folder of the study  [default: studies/NAME, with the study's name].",
)
@click.option("--plan", is_flag=True, help="Train nothing: tell what there is to do.")
@click.option("--report", is_flag=True, help="Train nothing: write table and page anew.")
@click.option(
    "--latency",
    is_flag=True,
    help="Train nothing: measure the latency of the networks, on a quiet machine.",
)
@click.option("--retry-failed", is_flag=True, help="Do those runs again that failed before.")
@manners
def study(
    config: Path,
    out: Path | None,
    plan: bool,
    report: bool,
    latency: bool,
    retry_failed: bool,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Do the trainings of the study CONFIG (a TOML file) and rank them.

    Stopped at any moment and started again with the same command, it goes on where it was. The
    output folder gets a record of each run, table.csv and study.html.

    Example: buildext study recipes/study-encoders.toml --out studies/encoders
    """
    from buildext.errors import UsageError

    if plan + report + latency > 1:
        raise UsageError("--plan, --report and --latency exclude each other", hint="give one")
    if find_spec("torch") is None or find_spec("matplotlib") is None:
        raise UsageError(
            "a study needs torch and matplotlib, which are not installed",
            hint='pip install "buildext[train]"',
        )
    from buildext.learn.study.design import load_design
    from buildext.learn.study.run import TABLE_FILE, Study
    from buildext.progress import JsonProgress

    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    progress = make_progress(progress_kind, quiet)
    folder = out or Path("studies") / load_design(config).study.name
    whole = Study(config, folder, progress)
    if plan:
        for line in whole.plan():
            progress.note(line)
        return
    if latency:
        whole.measure()
    elif report:
        whole.write_page()
    else:
        whole.run(retry_failed=retry_failed)
    if isinstance(progress, JsonProgress):
        progress.emit("result", page=str(whole.page), table=str(folder / TABLE_FILE))
    elif not quiet:
        click.echo(f"page: {whole.page}")
