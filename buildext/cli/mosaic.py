"""`buildext mosaic`: a whole city from the command line, and how far it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildext.cli.extraction import extraction_options, make_extract_options
from buildext.cli.options import make_progress, manners, set_up_logging, watch_parent

if TYPE_CHECKING:
    from buildext.mosaic.executors.base import Executor
    from buildext.mosaic.run import MosaicResult
    from buildext.mosaic.standing import Standing
    from buildext.progress import Progress

FOLDER = click.Path(path_type=Path, file_okay=False)


class _Mosaic(click.Group):
    """A group whose first word may be left out: `mosaic SRC…` is `mosaic run SRC…`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before whatever is neither a command nor a plea for help."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """All three forms."""
        path = ctx.command_path
        formatter.write_usage(path, "[run] SRC... -o OUT [OPTIONS]")
        formatter.write_usage(path, "status|retry OUT", prefix="       ")


@click.group(cls=_Mosaic)
def mosaic() -> None:
    """Extract the buildings of a whole city, in blocks, with resume.

    `buildext mosaic run --help` tells the options of a run; the word `run` may be left out.
    """


def executor_options(command: Any) -> Any:
    """Add the options of where and how blocks are done."""
    for option in reversed(
        (
            click.option(
                "--workers",
                type=click.IntRange(0),
                default=0,
                help="Processes on this machine; 0: this process alone (with --dask local: one a "
                "core).",
            ),
            click.option(
                "--dask", metavar="WHERE", help="local, tcp://HOST:PORT or a scheduler file."
            ),
            click.option(
                "--dask-resource",
                metavar="NAME",
                help="Run the network only on Dask workers with this resource.  "
                "[default: GPU with --device cuda]",
            ),
            click.option(
                "--attempts",
                type=click.IntRange(1),
                default=3,
                show_default=True,
                help="Times that a block is tried.",
            ),
            click.option(
                "--fail-fast",
                is_flag=True,
                help="End with the first damaged file or failed block.",
            ),
            manners,
        )
    ):
        command = option(command)
    return command


@mosaic.command(context_settings={"show_default": False})
@click.argument("names", metavar="SRC...", nargs=-1, required=True)
@click.option("-o", "--output", "out", type=FOLDER, required=True, help="Folder of the mosaic.")
@extraction_options
@click.option(
    "--aoi", help="Where to look: polygon layer, or xmin,ymin,xmax,ymax in the mosaic's CRS."
)
@click.option("--crs", help="CRS of the mosaic, projected; default: that of most pixels.")
@click.option(
    "--block",
    "block_px",
    type=click.IntRange(1),
    default=8192,
    show_default=True,
    help="Side of a block in pixels, about.",
)
@click.option(
    "--order",
    default="newest",
    show_default=True,
    help="Which of overlapping files counts: newest, given, nadir, or a field of the tile index "
    "or the STAC items, of which the largest value counts.",
)
@click.option("--asset", help="Name of the STAC asset to read.")
@click.option(
    "--format",
    "formats",
    type=click.Choice(["parquet", "gpkg", "pmtiles"]),
    multiple=True,
    default=("parquet", "gpkg", "pmtiles"),
    show_default=True,
    help="Format of the layer; may be given several times.",
)
@click.option("--plan-only", is_flag=True, help="Write plan.json and plan.html, and stop.")
@executor_options
def run(
    names: tuple[str, ...],
    out: Path,
    aoi: str | None,
    crs: str | None,
    block_px: int,
    order: str,
    asset: str | None,
    formats: tuple[str, ...],
    plan_only: bool,
    **rest: Any,
) -> int:
    """Extract the buildings of many files as one layer.

    SRC is a raster, a folder, a pattern, a text file of names, a tile index (GTI, gdaltindex) or a
    STAC item collection. The same command continues a run that was stopped; what has changed since
    is done again, and nothing else.
    """
    how = {name: rest.pop(name) for name in _HOW}
    progress = _begin(how)

    from buildext.mosaic.options import MosaicOptions

    options = MosaicOptions(
        extract=make_extract_options(**rest),
        crs=crs,
        block_px=block_px,
        order=order,
        asset=asset,
        formats=formats,
        # `retry` may be called from another folder.
        aoi=str(Path(aoi).absolute()) if aoi and Path(aoi).exists() else aoi,
    )
    if plan_only:
        return _plan(names, out, options, how, progress)
    return _run(names, out, options, how, progress)


@mosaic.command()
@click.argument("out", type=FOLDER)
@executor_options
def retry(out: Path, **how: Any) -> int:
    """Try again what failed in OUT, damaged files too, with the options of the last run."""
    progress = _begin(how)

    from buildext.mosaic.ledger import open_ledger, read_ledger
    from buildext.mosaic.options import MosaicOptions

    with read_ledger(out):
        pass  # only to say so where there is none
    with open_ledger(out) as ledger:
        names, options = ledger.fact("names"), MosaicOptions.from_json(ledger.fact("options"))
        ledger.forgive()
    return _run(names, out, options, how, progress)


@mosaic.command()
@click.argument("out", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def status(out: Path, as_json: bool) -> None:
    """Show how far OUT is, what failed, and how long the rest will take."""
    from buildext.mosaic.standing import standing

    state = standing(out)
    if as_json:
        import json

        click.echo(json.dumps(state.to_json(), indent=1))
        return
    _tell_standing(out, state)


_HOW = (
    "workers",
    "dask",
    "dask_resource",
    "attempts",
    "fail_fast",
    "progress_kind",
    "verbose",
    "quiet",
    "exit_with_parent",
)


def _begin(how: dict[str, Any]) -> Progress:
    set_up_logging(how["verbose"], how["quiet"])
    if how["exit_with_parent"]:
        watch_parent()
    if how["dask_resource"] and not how["dask"]:
        raise click.UsageError("--dask-resource needs --dask")
    return make_progress(how["progress_kind"], how["quiet"])


def _executor(how: dict[str, Any], device: str) -> Executor:
    from buildext.mosaic.executors.local import InProcess, Processes

    if how["dask"]:
        from buildext.mosaic.executors.dask import DaskExecutor

        gpu = "GPU" if device.startswith("cuda") else None
        return DaskExecutor(how["dask"], how["workers"], how["dask_resource"] or gpu)
    return Processes(how["workers"]) if how["workers"] else InProcess()


def _run(
    names: tuple[str, ...], out: Path, options: Any, how: dict[str, Any], progress: Progress
) -> int:
    import contextlib

    from buildext.mosaic.options import RunOptions
    from buildext.mosaic.run import make_folder, run_mosaic

    make_folder(out)
    with contextlib.closing(_executor(how, options.extract.device)) as executor:
        progress.note(f"{out}: {executor.description}")
        chosen = RunOptions(how["attempts"], how["fail_fast"])
        result = run_mosaic(names, out, options, executor, chosen, progress)
    _tell_result(result, out, progress, how["progress_kind"])
    return result.exit_code


def _plan(
    names: tuple[str, ...], out: Path, options: Any, how: dict[str, Any], progress: Progress
) -> int:
    from buildext.extract.preflight import duration
    from buildext.mosaic.executors.local import cores
    from buildext.mosaic.planning import plan_mosaic

    workers = how["workers"] or (cores() if how["dask"] else 1)
    expected, page = plan_mosaic(names, out, options, workers, max(1, cores() // workers), progress)
    if how["progress_kind"] == "json":
        from buildext.progress import JsonProgress

        JsonProgress().emit("plan", output=str(page), **expected.to_json())
        return 0
    click.echo(
        f"{expected.files} files, {expected.pixels / 1e6:,.1f} MP on the grid of the mosaic, "
        f"{expected.blocks} blocks, {expected.tiles} tiles\n"
        f"≈ {duration(expected.seconds)} with {workers} worker(s) of {expected.threads} thread(s) "
        f"· disk ≈ {expected.disk_bytes / 1e6:,.0f} MB of "
        f"{expected.disk_free_bytes / 1e9:,.0f} GB free\n→ {page}"
    )
    return 0


def _tell_result(result: MosaicResult, out: Path, progress: Progress, kind: str) -> None:
    buildings = None if result.finished is None else result.finished.totals.all.buildings
    if kind == "json":
        from buildext.progress import JsonProgress

        JsonProgress().emit(
            "result",
            output=str(out),
            features=buildings,
            blocks=result.blocks,
            done=result.done,
            failed={block.name: why for block, why in result.failed.items()},
            damaged=list(result.damaged),
            seconds=round(result.seconds, 2),
            times=result.times.to_json(),
            megapixels=round(result.pixels / 1e6, 3),
        )
        return
    found = "up to date" if buildings is None else f"{buildings} buildings"
    progress.note(f"{found}, {result.blocks} blocks, in {result.seconds:.1f} s → {out}")
    if result.damaged:
        progress.note(f"{len(result.damaged)} damaged file(s) left out; see summary.html")
    if result.failed:
        progress.note(
            f"{len(result.failed)} block(s) failed: mend what is wrong, then "
            f"`buildext mosaic retry {out}`"
        )


def _tell_standing(out: Path, state: Standing) -> None:
    from rich.console import Console
    from rich.table import Table

    from buildext.extract.preflight import duration

    console = Console()
    table = Table("stage", "waiting", "running", "done", "failed", "mean", box=None)
    for stage, counts in state.counts.items():
        mean = state.seconds[stage]
        # A row that says so, while nobody works, was running when the run was stopped.
        running = counts.get("running", 0) if state.working else 0
        waiting = counts.get("waiting", 0) + counts.get("running", 0) - running
        table.add_row(
            stage,
            str(waiting),
            str(running),
            str(counts.get("done", 0)),
            str(counts.get("failed", 0)),
            "–" if mean is None else f"{mean:.1f} s",
        )
    console.print(table)
    eta = "unknown" if state.eta_s is None else duration(state.eta_s)
    doing = "finished" if state.finished else "working" if state.working else "stopped"
    console.print(
        f"{doing} · {state.pixels / 1e6:,.1f} MP, {state.buildings} buildings · rest ≈ {eta}",
        highlight=False,
    )
    if state.times is not None and not state.working:
        total = state.times.total
        spent = Table("the last run", "by the clock", "", "core-seconds", "", box=None)
        for part, span in state.times.spans.items():
            spent.add_row(
                part,
                f"{span.wall_s:,.1f} s",
                f"{100 * span.wall_s / max(total.wall_s, 1e-9):.1f} %",
                f"{span.cpu_s:,.1f}",
                f"{100 * span.cpu_s / max(total.cpu_s, 1e-9):.1f} %",
            )
        console.print(spent)
    for source in state.damaged:
        console.print(f"left out: {source.note}", markup=False, soft_wrap=True, highlight=False)
    for name, error in state.failed.items():
        console.print(f"failed: {name}: {error}", markup=False, soft_wrap=True, highlight=False)
