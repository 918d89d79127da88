"""`buildext extract`: the main job from the command line."""

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
    from buildext.evaluate import EvaluateOptions
    from buildext.extract.options import Outputs
    from buildext.extract.pipeline import Extraction, Job
    from buildext.extract.preflight import Preflight
    from buildext.progress import Progress

OUTPUT = click.Path(path_type=Path, dir_okay=False)


class _Numbers(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """Comma-separated numbers of one type."""

    def __init__(self, kind: type, count: int | None = None) -> None:
        self.name = ",".join([kind.__name__] * (count or 1)) + ("" if count else ",…")
        self._kind, self._count = kind, count

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[Any, ...]:
        """Parse `1,2,3`."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self._kind(part) for part in value.split(","))
        except ValueError:
            self.fail(f"got {value!r}; expected {self.name}", param, ctx)
        if self._count and len(numbers) != self._count:
            self.fail(
                f"got {len(numbers)} numbers in {value!r}; expected {self._count}", param, ctx
            )
        return numbers


@click.command()
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    help="Buildings: .gpkg, .parquet, .fgb, .geojson or .pmtiles.",
)
@click.option("--model", default="default", show_default=True, help="Bundled name or model folder.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "openvino", "onnxruntime", "torch"]),
    default="auto",
    show_default=True,
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16", "f16"]),
    default="auto",
    show_default=True,
    help="Arithmetic; auto is bf16 where the processor has it.",
)
@click.option("--threads", type=click.IntRange(0), default=0, help="CPU threads; 0 takes all.")
@click.option("--batch", type=click.IntRange(0), default=0, help="Tiles at a time; 0 is automatic.")
@click.option("--tile", "tile_px", type=click.IntRange(64), help="Tile size in pixels.")
@click.option("--overlap", "overlap_px", type=click.IntRange(0), help="Overlap of tiles in pixels.")
@click.option(
    "--gsd", "gsd_m", type=click.FloatRange(0, min_open=True), help="Run at this GSD [m]."
)
@click.option("--bands", type=_Numbers(int), help="Band numbers for red,green,blue, from 1.")
@click.option("--scale", type=_Numbers(float, 2), help="Values mapped to 0 and 255.")
@click.option("--nodata", type=float, help="Invalid value, overriding the file's.")
@click.option("--pixel-units", is_flag=True, help="Accept a scene without CRS; output in pixels.")
@click.option("--allow-remote", is_flag=True, help="Accept network sources (http, /vsicurl, …).")
@click.option(
    "--aoi", help="Where to look: polygon layer, or xmin,ymin,xmax,ymax in the scene's CRS."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Building probability from which a pixel is building; default: the model's.",
)
@click.option(
    "--separate/--merge",
    default=True,
    show_default=True,
    help="Split touching buildings along the model's contact channel.",
)
@click.option(
    "--min-area",
    "min_area_m2",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    help="Drop smaller buildings [m²].",
)
@click.option(
    "--min-hole",
    "min_hole_m2",
    type=click.FloatRange(0),
    default=4.0,
    show_default=True,
    help="Fill smaller holes [m²].",
)
@click.option(
    "--regularize",
    "regularize",
    type=click.Choice(["right-angles", "right-angles-and-diagonals", "any-angle", "none"]),
    help="Square up outlines; none keeps the pixels' outline.  [default: right-angles]",
)
@click.option("--simplify", is_flag=True, help="Only simplify outlines; shared walls stay shared.")
@click.option(
    "--tolerance",
    "tolerance_m",
    type=click.FloatRange(0, min_open=True),
    help="How far an outline may move [m].",
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
    regularize: str | None,
    simplify: bool,
    tolerance_m: float | None,
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
    if simplify and regularize:
        raise click.UsageError("--simplify and --regularize exclude each other")
    if height_field and reference is None:
        raise click.UsageError("--height-field needs --reference")

    from buildext.errors import MissingInputError
    from buildext.evaluate import Bounds, EvaluateOptions, Frame
    from buildext.extract.area import read_area
    from buildext.extract.options import ExtractOptions, Outputs
    from buildext.extract.pipeline import check_outputs, open_job, run
    from buildext.footprints.shape import ShapeOptions

    shape: dict[str, Any] = {"mode": "simplify" if simplify else regularize or "right-angles"}
    if tolerance_m is not None:
        shape["tolerance_m"] = tolerance_m
    chosen = ExtractOptions(shape=ShapeOptions(**shape), **options)
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
