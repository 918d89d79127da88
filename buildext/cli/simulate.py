"""`buildext simulate`: render an off-nadir scene from footprints with heights."""

from __future__ import annotations

from pathlib import Path

import click

from buildext.cli.options import (
    make_progress,
    manners,
    overwrite_option,
    set_up_logging,
    watch_parent,
)

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("footprints", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="Folder to write.")
@click.option("--layer", help="Layer of FOOTPRINTS.  [default: the first]")
@click.option("--height-field", help="Field with heights in metres.")
@click.option("--base-field", help="Field with the elevation of a tier's lower end.")
@click.option("--top-field", help="Field with the elevation of a tier's upper end.")
@click.option("--structure-field", help="Field that tells which tiers are one building.")
@click.option("--roof-field", help="Field with flat, gable, hip, pyramid or shed.")
@click.option("--off-nadir", default=25.0, show_default=True, help="Angle of the view in degrees.")
@click.option(
    "--azimuth",
    default=0.0,
    show_default=True,
    help="Azimuth of the sensor as seen from the ground, degrees clockwise from north.",
)
@click.option(
    "--camera-height",
    type=float,
    help="A frame camera at this height in metres, whose lean grows from the point below it.",
)
@click.option("--gsd", default=0.3, show_default=True, help="Metres per pixel.")
@click.option("--sun-elevation", default=45.0, show_default=True, help="In degrees.")
@click.option("--sun-azimuth", default=40.0, show_default=True, help="Clockwise from north.")
@click.option("--extent", help="West,south,east,north in the CRS of FOOTPRINTS.")
@click.option(
    "--texture",
    "textures",
    type=(PATH, PATH),
    multiple=True,
    metavar="SCENE LABELS",
    help="Cut ground and roofs from this scene; may be repeated.  [default: the bundled patches]",
)
@click.option("--blur", default=0.55, show_default=True, help="Sigma of the blur in pixels.")
@click.option("--noise", default=1.5, show_default=True, help="Sigma of the noise in grey levels.")
@click.option("--haze", default=0.05, show_default=True, help="Share of the sky's light.")
@click.option("--jpeg", default=92, show_default=True, help="JPEG quality; 0 keeps every level.")
@click.option(
    "--shift", default=(0.0, 0.0), type=(float, float), metavar="EAST NORTH",
    help="Footprints: one step for all, in metres.",
)  # fmt: skip
@click.option("--block-size", default=64.0, show_default=True, help="Footprints: side of a block.")
@click.option("--block-sigma", type=float, help="Footprints: normal step of each block, per axis.")
@click.option(
    "--block-range", type=(float, float), metavar="LOW HIGH",
    help="Footprints: step of each block, of a length between these.",
)  # fmt: skip
@click.option("--rotation", default=0.0, help="Footprints: normal rotation in degrees.")
@click.option("--missing", default=0.0, help="Footprints: share of buildings left out.")
@click.option("--extra", default=0.0, help="Footprints: share of labels without a building.")
@click.option("--out-of-date", default=0.0, help="Footprints: share that lacks a part.")
@click.option("--seed", default=0, show_default=True, help="Of everything random.")
@click.option("--tile", default=1024, show_default=True, help="Pixels rendered at once.")
@click.option("--workers", default=2, show_default=True, help="Threads.")
@overwrite_option
@manners
def simulate(
    footprints: Path,
    output: Path,
    layer: str | None,
    height_field: str | None,
    base_field: str | None,
    top_field: str | None,
    structure_field: str | None,
    roof_field: str | None,
    off_nadir: float,
    azimuth: float,
    camera_height: float | None,
    gsd: float,
    sun_elevation: float,
    sun_azimuth: float,
    extent: str | None,
    textures: tuple[tuple[Path, Path], ...],
    blur: float,
    noise: float,
    haze: float,
    jpeg: int,
    shift: tuple[float, float],
    block_size: float,
    block_sigma: float | None,
    block_range: tuple[float, float] | None,
    rotation: float,
    missing: float,
    extra: float,
    out_of_date: float,
    seed: int,
    tile: int,
    workers: int,
    overwrite: bool,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Render an off-nadir scene from FOOTPRINTS with heights, with the truth about it.

    Writes a folder: the image, masks of roofs and facades, roofs as they are seen, and footprints
    as a map has them, which is where the lean puts them. The fields of the City of Melbourne's data
    and common names of heights are recognised; others are named with options.
    """
    import dataclasses

    from buildext.progress import JsonProgress
    from buildext.simulate.city import FieldNames
    from buildext.simulate.label_errors import BlockShift, LabelErrors
    from buildext.simulate.render import Sun
    from buildext.simulate.run import SimulateOptions, simulate_city
    from buildext.simulate.sensor import Sensor

    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    block = None
    if block_sigma is not None or block_range is not None:
        block = BlockShift(block_size, block_sigma, block_range)
    options = SimulateOptions(
        off_nadir_deg=off_nadir,
        azimuth_deg=azimuth,
        camera_height_m=camera_height,
        gsd_m=gsd,
        sun=Sun(sun_elevation, sun_azimuth),
        sensor=Sensor(blur_px=blur, noise=noise, haze=haze),
        jpeg_quality=jpeg or None,
        errors=LabelErrors(
            shift_xy_m=shift,
            block=block,
            rotation_deg=rotation,
            missing=missing,
            extra=extra,
            out_of_date=out_of_date,
        ),
        fields=FieldNames(height_field, base_field, top_field, structure_field, roof_field),
        layer=layer,
        extent=None if extent is None else _bounds(extent),
        textures=textures,
        seed=seed,
        tile_px=tile,
        workers=workers,
    )
    progress = make_progress(progress_kind, quiet)
    done = simulate_city(footprints, output, options, overwrite=overwrite, progress=progress)
    if isinstance(progress, JsonProgress):
        progress.emit("result", **{**dataclasses.asdict(done), "folder": str(done.folder)})
    elif not quiet:
        click.echo(
            f"{done.folder}: {done.width} x {done.height} px, roofs of {done.structures} "
            f"buildings seen, {done.hidden} hidden"
        )


def _bounds(text: str) -> tuple[float, float, float, float]:
    from buildext.errors import UsageError

    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"got --extent {text}; expected west,south,east,north",
            hint="for example 320600,5812700,321200,5813300",
        ) from error
    return west, south, east, north
