"""`buildext evaluate`: score footprints or a mask against a reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from buildext.cli.options import make_progress, manners, set_up_logging, watch_parent

if TYPE_CHECKING:
    from buildext.evaluate import Bounds


@click.command()
@click.argument("pred", type=click.Path(path_type=Path))
@click.argument("ref", type=click.Path(path_type=Path))
@click.option("--height-field", help="Field of REF with heights in metres: scores height classes.")
@click.option(
    "--height-raster",
    type=click.Path(path_type=Path),
    help="Raster of heights above ground (nDSM), sampled under REF's footprints, in place of a "
    "field.",
)
@click.option(
    "--classes",
    default="12,36,100",
    show_default=True,
    help="Limits between the height classes in metres.",
)
@click.option("--iou", default=0.5, show_default=True, help="Smallest IoU of matching objects.")
@click.option(
    "--matching",
    type=click.Choice(["optimal", "spacenet"]),
    default="optimal",
    show_default=True,
    help="The best one-to-one matching, or SpaceNet's greedy one.",
)
@click.option(
    "--off-nadir",
    help="Angle of the view in degrees, or a layer of polygons with the fields off_nadir_deg, "
    "scene or both (such as a simulation's tiles.gpkg): scores by angle and scene.",
)
@click.option(
    "--probability",
    type=click.Path(path_type=Path),
    help="Raster of building probabilities: its calibration and best threshold.",
)
@click.option(
    "--extent",
    help="What to score: a raster (its grid is used) or west,south,east,north in REF's CRS. "
    "Default: the grid of a REF mask, the bounding box of REF polygons.",
)
@click.option(
    "--aoi",
    help="Score only inside these polygons (a vector file) or inside west,south,east,north "
    "in the CRS of the scored grid.",
)
@click.option(
    "--resolution",
    default=0.3,
    show_default=True,
    help="Pixel of the scored grid in metres where no raster gives one.",
)
@click.option("--tile", default=256, show_default=True, help="Tile of the tile mean in pixels.")
@click.option(
    "--boundary",
    type=float,
    help="Tolerance of the boundary score in metres.  [default: max(0.5 m, 2 pixels)]",
)
@click.option("--layer", help="Layer of PRED.  [default: the first]")
@click.option("--ref-layer", help="Layer of REF.  [default: the first]")
@click.option(
    "--json",
    "json_path",
    is_flag=False,
    flag_value="-",
    metavar="[PATH]",
    help="Write the scores as JSON, to stdout (instead of the table) where no path follows.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="HTML",
    help="Write one page with scores, plots, a map of errors and the worst places.",
)
@click.option(
    "--image",
    "images",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Image to show the report's places on; may be given several times.",
)
@click.option(
    "--errors",
    type=click.Path(path_type=Path),
    metavar="GPKG",
    help="Write found, false and missed buildings, splits and merges as styled layers.",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@manners
def evaluate(
    pred: Path,
    ref: Path,
    height_field: str | None,
    height_raster: Path | None,
    classes: str,
    iou: float,
    matching: Literal["optimal", "spacenet"],
    off_nadir: str | None,
    probability: Path | None,
    extent: str | None,
    aoi: str | None,
    resolution: float,
    tile: int,
    boundary: float | None,
    layer: str | None,
    ref_layer: str | None,
    json_path: str | None,
    report: Path | None,
    images: tuple[Path, ...],
    errors: Path | None,
    overwrite: bool,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Score the buildings PRED against the reference REF.

    Both are vector files (GeoPackage, GeoParquet, …) or masks (a single-band raster in which every
    value above 0 is building); different CRS are brought together.
    """
    import json

    from rich.console import Console

    from buildext.atomic import atomic_path, check_output
    from buildext.errors import UsageError
    from buildext.evaluate import EvaluateOptions, evaluate_files, format_table
    from buildext.evaluate.report import (
        check_layers_path,
        require_drawing,
        write_error_layers,
        write_report,
    )
    from buildext.progress import JsonProgress

    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    options = EvaluateOptions(
        height_field=height_field,
        height_raster=height_raster,
        class_limits_m=_numbers(classes, "--classes"),
        iou=iou,
        matching=matching,
        off_nadir=_path_or_number(off_nadir),
        probability=probability,
        resolution_m=resolution,
        tile_px=tile,
        boundary_m=boundary,
        extent=_path_or_bounds(extent),
        aoi=_path_or_bounds(aoi),
        layer=layer,
        ref_layer=ref_layer,
    )
    json_file = Path(json_path) if json_path not in (None, "-") else None
    for output in (json_file, report, errors):
        if output is not None:
            check_output(output, overwrite)
    if images and report is None:
        raise UsageError("got an image but no report to show it in", hint="add --report page.html")
    if report is not None:
        require_drawing()
    if errors is not None:
        check_layers_path(errors)
    progress = make_progress(progress_kind, quiet)
    evaluation = evaluate_files(pred, ref, options, progress=progress)
    as_json = evaluation.to_json()
    if json_file is not None:
        with atomic_path(json_file, overwrite) as temporary:
            temporary.write_text(json.dumps(as_json, indent=2, ensure_ascii=False) + "\n")
    if report is not None:
        write_report(report, evaluation, images=images, overwrite=overwrite)
    if errors is not None:
        write_error_layers(errors, evaluation, overwrite=overwrite)
    if isinstance(progress, JsonProgress):
        progress.emit("result", evaluation=as_json)
    elif json_path == "-":
        click.echo(json.dumps(as_json, indent=2, ensure_ascii=False))
    elif not quiet:
        Console().print(format_table(evaluation))


def _numbers(text: str, option: str) -> tuple[float, ...]:
    from buildext.errors import UsageError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"got {option} {text}; expected numbers with commas between them",
            hint="for example 12,36,100",
        ) from error


def _path_or_number(text: str | None) -> Path | float | None:
    """A number where it is one, else a file."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return Path(text)


def _path_or_bounds(text: str | None) -> Path | Bounds | None:
    """A file where one of that name exists, else four numbers, else a file that is missing."""
    from buildext.evaluate import Bounds

    if text is None:
        return None
    path = Path(text)
    parts = text.split(",")
    if path.exists() or len(parts) != 4:
        return path
    return Bounds(*_numbers(text, "a rectangle"))
