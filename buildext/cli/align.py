"""`buildext align`: move existing footprints to where an image shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildext.cli.options import (
    make_progress,
    manners,
    overwrite_option,
    set_up_logging,
    watch_parent,
)

if TYPE_CHECKING:
    from buildext.align.layer import Aligned
    from buildext.progress import Progress

OUTPUT = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.argument("labels", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    help="The moved labels: .gpkg, .parquet, .fgb or .geojson.",
)
@click.option(
    "--max-shift",
    "max_shift_m",
    default=10.0,
    show_default=True,
    help="No label moves farther [m].",
)
@click.option("--layer", help="Layer of LABELS.  [default: the first]")
@click.option("--new", type=OUTPUT, help="Write the buildings that have no label too.")
@click.option("--model", default="default", show_default=True, help="Bundled name or model folder.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "openvino", "onnxruntime", "torch"]),
    default="auto",
    show_default=True,
)
@click.option(
    "--gsd", "gsd_m", type=click.FloatRange(0, min_open=True), help="Run at this GSD [m]."
)
@overwrite_option
@manners
def align(
    scenes: tuple[str, ...],
    labels: Path,
    output: Path,
    max_shift_m: float,
    layer: str | None,
    new: Path | None,
    model: str,
    engine: str,
    gsd_m: float | None,
    overwrite: bool,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Move the building polygons LABELS to where SCENE shows their roofs.

    Each polygon is moved as it is, by at most --max-shift; where it is not clear where to, it stays
    and says so in `align_status`.
    """
    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()

    import tempfile

    from buildext.align.labels import check_format, read_labels, write_labels
    from buildext.align.layer import align_labels, new_buildings
    from buildext.align.options import AlignOptions
    from buildext.atomic import check_output
    from buildext.extract.options import ExtractOptions, Outputs
    from buildext.extract.pipeline import open_job, run

    options = AlignOptions(max_shift_m=max_shift_m)
    for path in (output, new):
        if path is not None:
            check_format(path)
            check_output(path, overwrite)
    old = read_labels(labels, layer)
    progress = make_progress(progress_kind, quiet)
    with tempfile.TemporaryDirectory(prefix=".buildext-align-", dir=output.parent) as folder:
        seen, raster = Path(folder) / "seen.gpkg", Path(folder) / "probability.tif"
        with open_job(scenes, ExtractOptions(model=model, engine=engine, gsd_m=gsd_m)) as job:
            run(job, Outputs(seen, raster), progress)
            scene_gsd_m, settings = job.scene.gsd_m, job.settings()
        progress.start("align", len(old.polygons))
        aligned = align_labels(raster, old, scene_gsd_m, options, progress.advance)
        progress.finish()
        found = read_labels(seen, may_be_empty=True)
    unlabelled = new_buildings(found, aligned.labels)
    metadata = {**settings, "align": options.to_json()}
    write_labels(output, aligned.labels, "aligned", metadata, overwrite)
    if new is not None:
        write_labels(new, unlabelled, "new", metadata, overwrite)
    _tell(aligned, len(unlabelled.polygons), output, progress, progress_kind)


def _tell(aligned: Aligned, new: int, output: Path, progress: Progress, kind: str) -> None:
    summary: dict[str, Any] = {**aligned.summary(), "new": new}
    if kind == "json":
        from buildext.progress import JsonProgress

        JsonProgress().emit("result", output=str(output), **summary)
        return
    far = ""
    if summary["moved"]:
        far = f" (median {summary['median_shift_m']} m, p90 {summary['p90_shift_m']} m)"
    progress.note(
        f"{summary['moved']} of {summary['labels']} labels moved{far}, {summary['kept']} kept for "
        f"lack of certainty, {summary['missing']} not in the image, {summary['unseen']} outside it;"
        f" {new} buildings without a label → {output}"
    )
