"""The options of extracting buildings, which single scenes and mosaics share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from buildext.extract.options import ExtractOptions

Command = TypeVar("Command", bound=Callable[..., Any])


class Numbers(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
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


_OPTIONS = (
    click.option(
        "--model", default="default", show_default=True, help="Bundled name or model folder."
    ),
    click.option(
        "--engine",
        type=click.Choice(["auto", "openvino", "onnxruntime", "torch"]),
        default="auto",
        show_default=True,
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "f32", "bf16", "f16"]),
        default="auto",
        show_default=True,
        help="Arithmetic; auto is bf16 where the processor has it.",
    ),
    click.option("--threads", type=click.IntRange(0), default=0, help="CPU threads; 0 takes all."),
    click.option(
        "--batch", type=click.IntRange(0), default=0, help="Tiles at a time; 0 is automatic."
    ),
    click.option("--tile", "tile_px", type=click.IntRange(64), help="Tile size in pixels."),
    click.option(
        "--overlap", "overlap_px", type=click.IntRange(0), help="Overlap of tiles in pixels."
    ),
    click.option(
        "--second-scale",
        type=click.FloatRange(1, 4),
        help="Look at each tile again, so many times coarser, and average; 1: once.",
    ),
    click.option(
        "--gsd", "gsd_m", type=click.FloatRange(0, min_open=True), help="Run at this GSD [m]."
    ),
    click.option("--bands", type=Numbers(int), help="Band numbers for red,green,blue, from 1."),
    click.option("--scale", type=Numbers(float, 2), help="Values mapped to 0 and 255."),
    click.option("--nodata", type=float, help="Invalid value, overriding the file's."),
    click.option(
        "--allow-remote", is_flag=True, help="Accept network sources (http, /vsicurl, …)."
    ),
    click.option(
        "--threshold",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Building probability down to which a building reaches; default: the model's.",
    ),
    click.option(
        "--core-threshold",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Building probability where a building begins; default: the model's.",
    ),
    click.option(
        "--separate/--merge",
        default=True,
        show_default=True,
        help="Split touching buildings along the model's contact channel.",
    ),
    click.option(
        "--min-area",
        "min_area_m2",
        type=click.FloatRange(0),
        default=5.0,
        show_default=True,
        help="Drop buildings of which less than this reaches the core threshold [m²].",
    ),
    click.option(
        "--min-hole",
        "min_hole_m2",
        type=click.FloatRange(0),
        default=4.0,
        show_default=True,
        help="Fill smaller holes [m²].",
    ),
    click.option(
        "--regularize",
        "regularize",
        type=click.Choice(["right-angles", "right-angles-and-diagonals", "any-angle", "none"]),
        help="Square up outlines; none keeps the pixels' outline.  [default: right-angles]",
    ),
    click.option(
        "--simplify", is_flag=True, help="Only simplify outlines; shared walls stay shared."
    ),
    click.option(
        "--tolerance",
        "tolerance_m",
        type=click.FloatRange(0, min_open=True),
        help="How far an outline may move [m].",
    ),
)


def extraction_options(command: Command) -> Command:
    """Add the options of `make_extract_options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_extract_options(
    *, regularize: str | None, simplify: bool, tolerance_m: float | None, **options: Any
) -> ExtractOptions:
    """The value that the options stand for.

    Raises:
        UsageError: options that exclude each other.
    """
    if simplify and regularize:
        raise click.UsageError("--simplify and --regularize exclude each other")
    from buildext.extract.options import ExtractOptions
    from buildext.footprints.shape import ShapeOptions

    shape: dict[str, Any] = {"mode": "simplify" if simplify else regularize or "right-angles"}
    if tolerance_m is not None:
        shape["tolerance_m"] = tolerance_m
    return ExtractOptions(shape=ShapeOptions(**shape), **options)
