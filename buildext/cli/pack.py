"""`buildext pack`: datasets as plain images, for training machines without geodata libraries."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from buildext.cli.options import (
    make_progress,
    manners,
    overwrite_option,
    set_up_logging,
    watch_parent,
)


@click.command()
@click.argument(
    "datasets", metavar="DATASET...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the pool."
)
@click.option(
    "--data-root",
    envvar="BUILDEXT_DATA",
    type=click.Path(path_type=Path),
    help="Where the paths in the cards start.  [default: $BUILDEXT_DATA]",
)
@click.option(
    "--gsd",
    "gsd_m",
    type=float,
    metavar="METRES",
    help="Reduce scenes that are finer to this resolution.",
)
@click.option(
    "--jpeg",
    type=int,
    metavar="QUALITY",
    help="Write the images as JPEG: a fraction of the size, but not the same pixels.",
)
@overwrite_option
@manners
def pack(
    datasets: tuple[Path, ...],
    out: Path,
    data_root: Path | None,
    gsd_m: float | None,
    jpeg: int | None,
    overwrite: bool,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Write each DATASET (a folder with dataset.toml) as images under one index.

    The folder gets one folder a dataset, to be named in a training config like any other. Without
    --gsd and --jpeg a run trained from it is the same run, bit for bit.

    Example: buildext pack datasets/kampala datasets/zanzibar -o pool
    """
    from buildext.errors import UsageError

    if find_spec("cv2") is None:
        raise UsageError(
            "packing needs the libraries of the training, which are not installed",
            hint='pip install "buildext[train]"',
        )
    from buildext.learn.training.data.packing import PackOptions
    from buildext.learn.training.data.packing import pack as pack_datasets
    from buildext.progress import JsonProgress

    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    progress = make_progress(progress_kind, quiet)
    options = PackOptions(gsd_m, jpeg)
    summary = pack_datasets(datasets, data_root, out, options, overwrite, progress)
    if isinstance(progress, JsonProgress):
        progress.emit(
            "result",
            output=str(out),
            datasets=summary.datasets,
            scenes=summary.scenes,
            pixels=summary.pixels,
            bytes=summary.bytes,
        )
    elif not quiet:
        click.echo(
            f"{out}: {summary.scenes} scenes of {summary.datasets} datasets, "
            f"{summary.pixels / 1e6:.1f} MP, {summary.bytes / 1e6:.1f} MB"
        )
