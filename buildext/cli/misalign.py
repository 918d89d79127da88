"""`buildext misalign`: give clean labels errors that are known."""

from __future__ import annotations

from pathlib import Path

import click

from buildext.cli.options import manners, overwrite_option, set_up_logging, watch_parent


@click.command()
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="GeoPackage.")
@click.option("--layer", help="Layer of LABELS.  [default: the first]")
@click.option("--off-nadir", default=0.0, show_default=True, help="Angle of the view in degrees.")
@click.option(
    "--azimuth",
    default=0.0,
    show_default=True,
    help="Azimuth of the sensor as seen from the ground, degrees clockwise from north.",
)
@click.option("--height-field", help="Field of LABELS with heights in metres.")
@click.option(
    "--heights",
    default=(8.0, 0.6),
    show_default=True,
    type=(float, float),
    metavar="MEDIAN SPREAD",
    help="Lognormal heights where no field knows them: median in metres, spread of the logarithm.",
)
@click.option(
    "--shift",
    default=(0.0, 0.0),
    type=(float, float),
    metavar="EAST NORTH",
    help="One step for all labels, in metres.",
)
@click.option("--block-size", default=64.0, show_default=True, help="Side of a block in metres.")
@click.option("--block-sigma", type=float, help="Normal step of each block in metres, per axis.")
@click.option(
    "--block-range",
    type=(float, float),
    metavar="LOW HIGH",
    help="Step of each block, in any direction, of a length between these, in metres.",
)
@click.option(
    "--rotation", default=0.0, show_default=True, help="Normal rotation of each label in degrees."
)
@click.option("--missing", default=0.0, show_default=True, help="Share of buildings left out.")
@click.option("--extra", default=0.0, show_default=True, help="Share of labels without a building.")
@click.option(
    "--out-of-date", default=0.0, show_default=True, help="Share of labels that lack a part."
)
@click.option("--seed", default=0, show_default=True, help="Of everything random.")
@overwrite_option
@manners
def misalign(
    labels: Path,
    output: Path,
    layer: str | None,
    off_nadir: float,
    azimuth: float,
    height_field: str | None,
    heights: tuple[float, float],
    shift: tuple[float, float],
    block_size: float,
    block_sigma: float | None,
    block_range: tuple[float, float] | None,
    rotation: float,
    missing: float,
    extra: float,
    out_of_date: float,
    seed: int,
    overwrite: bool,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Give the clean LABELS of an image known errors.

    LABELS is a vector file, or a mask whose blobs each move in one piece. With an off-nadir angle
    labels move by height times its tangent towards the sensor: from the roof to the footprint. The
    step from truth to label stands in the fields east_m and north_m.
    """
    import dataclasses

    from buildext.progress import JsonProgress
    from buildext.simulate.heights import HeightDistribution
    from buildext.simulate.label_errors import BlockShift, LabelErrors
    from buildext.simulate.misalign import MisalignOptions, misalign_file

    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    block = None
    if block_sigma is not None or block_range is not None:
        block = BlockShift(block_size, block_sigma, block_range)
    errors = LabelErrors(
        off_nadir_deg=off_nadir,
        azimuth_deg=azimuth,
        shift_xy_m=shift,
        block=block,
        rotation_deg=rotation,
        missing=missing,
        extra=extra,
        out_of_date=out_of_date,
    )
    options = MisalignOptions(errors, height_field, HeightDistribution(*heights), seed, layer)
    done = misalign_file(labels, output, options, overwrite=overwrite)
    if progress_kind == "json":
        JsonProgress().emit("result", output=str(output), **dataclasses.asdict(done))
    elif not quiet:
        click.echo(
            f"{output}: {done.labels} labels of {done.buildings} buildings ({done.extra} extra, "
            f"{done.cut} cut), moved by {done.mean_offset_m:.2f} m on average, "
            f"{done.largest_offset_m:.2f} m at most"
        )
