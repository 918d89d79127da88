"""`buildext export`: a model as one file for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from buildext.cli.options import overwrite_option


@click.command()
@click.argument("model")
@click.option(
    "--to",
    "kind",
    required=True,
    type=click.Choice(["onnx", "openvino"]),
    help="onnx: one file; openvino: its own pair of .xml and .bin.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file: .onnx or .xml.",
)
@click.option(
    "--tile", "tile_px", type=click.IntRange(64), help="Fix the input to one tile of this side."
)
@overwrite_option
def export(model: str, kind: str, out: Path, tile_px: int | None, overwrite: bool) -> None:
    """Write MODEL (a bundled name, a model folder or the folder of a run) as one file.

    It takes `image`, uint8 (N, 3, H, W), and gives `probability`, float32 (N, K, H, W).

    Example: buildext export default --to openvino -o default.xml
    """
    from buildext.atomic import atomic_path, check_output
    from buildext.cli.model_argument import find_model
    from buildext.errors import UsageError

    suffix = {"onnx": ".onnx", "openvino": ".xml"}[kind]
    if out.suffix != suffix:
        raise UsageError(f"got the file {out}; --to {kind} writes {suffix} files")
    check_output(out, overwrite)
    found = find_model(model)
    divisor = found.card.stride_divisor
    if tile_px is not None and tile_px % divisor:
        raise UsageError(f"got --tile {tile_px}; this model takes multiples of {divisor}")
    if kind == "openvino":
        from buildext.engines.ir import write_ir

        write_ir(found.weights, out, tile_px)
    elif tile_px is not None:
        raise UsageError("--tile goes with --to openvino only", hint="leave it out")
    else:
        with atomic_path(out, overwrite) as temporary:
            temporary.write_bytes(found.weights.read_bytes())
    click.echo(f"{kind}: {out}")
