"""`buildext extract`: the main job from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildext.cli.extraction import extraction_options, make_extract_options
from buildext.cli.options import (
    make_progress,
    manners,
    overwrite_option,
    set_up_logging,
    watch_parent,
)

if TYPE_CHECKING:
    from buildext.evaluate import EvaluateOptions
    from buildext.extract.options import Outputs
    from buildext.extract.pipeline import Extraction, Job
    from buildext.extract.preflight import Preflight
    from buildext.progress import Progress

OUTPUT = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    help="Buildings: .gpkg, .parquet, .fgb, .geojson or .pmtiles.",
)
@extraction_options
@click.option("--pixel-units", is_flag=True, help="Accept a scene without CRS; output in pixels.")
@click.option(
    "--aoi", help="Where to look: polygon layer, or xmin,ymin,xmax,ymax in the scene's CRS."
)
@click.option("--probability", type=OUTPUT, help="Write the probability as a COG too.")
@click.option(
    "--review", type=OUTPUT, help="Write the most doubtful buildings for checking (.gpkg)."
)
@click.option("--reference", type=click.Path(path_type=Path), help="Score against this at the end.")
@click.option("--height-field", help="Height [m] in the reference: scores per height class.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@overwrite_option
@manners
def extract(
    scenes: tuple[str, ...],
    output: Path,
    aoi: str | None,
    probability: Path | None,
    review: Path | None,
    reference: Path | None,
    height_field: str | None,
    dry_run: bool,
    overwrite: bool,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
    **options: Any,
) -> int:
    """Extract building footprints from a scene.

    SCENE is a GeoTIFF, COG or VRT; several files, or a folder of them, are read as one scene.
    """
    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    if height_field and reference is None:
        raise click.UsageError("--height-field needs --reference")

    from buildext.errors import MissingInputError
    from buildext.extract.area import read_area
    from buildext.extract.options import Outputs
    from buildext.extract.pipeline import check_outputs, open_job, run

    chosen = make_extract_options(**options)
    outputs = Outputs(output, probability, review, overwrite)
    if reference is not None and not reference.exists():
        raise MissingInputError(f"the reference {reference} does not exist", hint="check the path")
    # What can be refused is refused before the network is compiled: names first, then the scene.
    check_outputs(outputs, "unknown")
    progress = make_progress(progress_kind, quiet)
    area = None if aoi is None else read_area(aoi)
    with open_job(scenes, chosen, area) as job:
        check_outputs(outputs, job.scene.crs)
        _tell_preflight(job, job.preflight(outputs), progress)
        if dry_run:
            return 0
        result = run(job, outputs, progress)
    _tell_result(result, outputs, progress, progress_kind)
    if reference is not None:
        from buildext.evaluate import Bounds, EvaluateOptions, Frame

        frame = job.frame
        grid = Frame.of(frame.crs, frame.transform, job.window.height, job.window.width, "scene")
        inside: Path | Bounds | None = None
        if area is not None:
            box = area.polygons[0].bounds
            inside = Bounds(*box) if area.crs is None else Path(str(aoi))
        scored = EvaluateOptions(height_field=height_field, extent=grid, aoi=inside)
        _score(output, reference, scored, progress_kind)
    return 0


def _tell_preflight(job: Job, flight: Preflight, progress: Progress) -> None:
    from buildext.extract.preflight import duration

    scene, info = job.scene, job.engine.info
    resampled = "" if scene.gsd_m == scene.native_gsd_m else f" (from {scene.native_gsd_m:.3f} m)"
    progress.note(
        f"{job.window.width}×{job.window.height} px at {scene.gsd_m:.3f} m{resampled}, "
        f"{flight.tiles} tiles · {job.model.card.name} on {info.name} {info.device} "
        f"{info.precision} · memory ≈ {flight.memory_bytes / 1e9:.1f} GB · "
        f"disk ≈ {flight.disk_bytes / 1e6:.1f} MB of {flight.disk_free_bytes / 1e9:.0f} GB free · "
        + ("a few seconds" if flight.seconds is None else f"≈ {duration(flight.seconds)}")
    )


def _tell_result(result: Extraction, outputs: Outputs, progress: Progress, kind: str) -> None:
    if kind == "json":
        from buildext.progress import JsonProgress

        JsonProgress().emit(
            "result",
            output=str(outputs.footprints),
            features=result.features,
            seconds=round(result.seconds, 2),
            megapixels=round(result.pixels / 1e6, 3),
        )
        return
    found = f"{result.features} buildings" if result.features else "no building found"
    progress.note(
        f"{found} in {result.seconds:.1f} s ({result.pixels / 1e6 / result.seconds:.1f} MP/s) → "
        f"{outputs.footprints}"
    )


def _score(output: Path, reference: Path, options: EvaluateOptions, progress_kind: str) -> None:
    """Print the scores of the fresh layer."""
    from buildext.evaluate import evaluate_files, format_table

    evaluation = evaluate_files(output, reference, options)
    if progress_kind == "json":
        from buildext.progress import JsonProgress

        JsonProgress().emit("scores", evaluation=evaluation.to_json())
        return
    from rich.console import Console

    Console().print(format_table(evaluation))
