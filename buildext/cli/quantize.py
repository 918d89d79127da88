"""`buildext quantize`: a model in floats in, a model in int8 out, and what was lost."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildext.cli.options import make_progress, manners, set_up_logging, watch_parent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildext.learn.compress.measure import SceneDrop
    from buildext.models.store import Model
    from buildext.progress import Progress

METHODS = (
    "q-hyvit",
    "min-max",
    "percentile",
    "easyquant",
    "fq-vit",
    "ptq4vit",
    "repq-vit",
    "nncf",
    "onnxruntime",
)
MEASURE_TILE_PX = 512


@click.command()
@click.argument("model")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the new model.",
)
@click.option(
    "--calibrate",
    "sources",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="Dataset, image or folder of images that calibration tiles are cut from; may be repeated.",
)
@click.option(
    "--method", type=click.Choice(METHODS), default="q-hyvit", show_default=True, help="How."
)
@click.option(
    "--bits",
    type=click.Choice(["4", "5", "6", "7", "8", "mixed"]),
    default="8",
    show_default=True,
    help="Of weights and activations; 8 runs in int8, all others are simulated. mixed: 8 or 6.",
)
@click.option(
    "--target",
    type=click.Choice(["openvino", "simulation"]),
    default="openvino",
    show_default=True,
    help="openvino takes only what its kernels run in int8; simulation whatever is best.",
)
@click.option("--tiles", default=32, show_default=True, help="Number of calibration tiles.")
@click.option("--tile-px", default=256, show_default=True, help="Their side in pixels.")
@click.option(
    "--measure",
    "datasets",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Dataset to measure the loss of F1 on; may be repeated.",
)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the paths of datasets start  [default: $BUILDEXT_DATA].",
)
@click.option("--device", default="cpu", show_default=True, help="Of the calibration, as in torch.")
@click.option("--seed", default=0, show_default=True, help="Of the tiles' places.")
@manners
def quantize(
    model: str,
    out: Path,
    sources: tuple[Path, ...],
    method: str,
    bits: str,
    target: str,
    tiles: int,
    tile_px: int,
    datasets: tuple[Path, ...],
    data_root: Path | None,
    device: str,
    seed: int,
    progress_kind: str,
    verbose: int,
    quiet: bool,
    exit_with_parent: bool,
) -> None:
    """Quantise MODEL (a bundled name, a model folder or the folder of a run) to int8.

    The new folder is a model like any other. Its card says how much runs in int8, and with
    --measure what was lost on each scene.

    Example: buildext quantize default --calibrate scene.tif -o default-int8
    """
    from buildext.errors import OutputExistsError, UsageError

    if find_spec("torch") is None or find_spec("onnx") is None:
        raise UsageError(
            "quantisation needs torch and onnx, which are not installed",
            hint='pip install "buildext[train]"',
        )
    set_up_logging(verbose, quiet)
    if exit_with_parent:
        watch_parent()
    if out.exists() and any(out.iterdir()):
        raise OutputExistsError(f"the folder {out} is not empty", hint="choose another --out")
    from buildext.cli.model_argument import find_model
    from buildext.learn.compress.quantise import Recipe, quantise_model
    from buildext.learn.compress.tiles import calibration_tiles
    from buildext.progress import JsonProgress

    progress = make_progress(progress_kind, quiet)
    if data_root is None and "BUILDEXT_DATA" in os.environ:
        data_root = Path(os.environ["BUILDEXT_DATA"])
    found = find_model(model)
    if tile_px % found.card.stride_divisor:
        raise UsageError(
            f"got --tile-px {tile_px}; this model takes multiples of {found.card.stride_divisor}"
        )
    shown = calibration_tiles(
        sources,
        number=tiles,
        tile_px=tile_px,
        card=found.card,
        data_root=data_root,
        seed=seed,
    )
    recipe = Recipe(
        method,
        "mixed" if bits == "mixed" else int(bits),
        "openvino" if target == "openvino" else "simulation",
        device,
        seed,
    )

    def measure(made: Model) -> list[SceneDrop]:
        return _measured(found, made, datasets, data_root, progress)

    names = [source.name for source in sources]
    card = quantise_model(found, shown, names, recipe, out, measure if datasets else None, progress)
    record = card.training["quantisation"]
    if isinstance(progress, JsonProgress):
        scores = [score.model_dump(mode="json") for score in card.scores]
        progress.emit("result", model=str(out), quantisation=record, scores=scores)
    elif not quiet:
        share = record["openvino"]["int8_share_of_macs"]
        click.echo(f"{record['precision']} by {method}: {100 * share:.1f} % of the work in int8")
        for score in card.scores:
            after, lost = score.values["building_f1"], score.values["building_f1 lost"]
            click.echo(f"F1  {score.dataset:32s} {after:.3f}  ({100 * lost:+.2f} points lost)")
        click.echo(f"model: {out}")


def _measured(
    before: Model,
    after: Model,
    datasets: Sequence[Path],
    data_root: Path | None,
    progress: Progress,
) -> list[SceneDrop]:
    """Both models on every scene, by OpenVINO, what is not in int8 in f32."""
    from buildext.engines.openvino import OpenVinoEngine
    from buildext.learn.compress.measure import measure_drop
    from buildext.learn.compress.tiles import read_scenes

    card = before.card
    side = MEASURE_TILE_PX // card.stride_divisor * card.stride_divisor
    engines = [OpenVinoEngine(m.weights, side, precision="f32") for m in (before, after)]
    one, other = ((lambda image, e=e: e.infer(image[None])[0]) for e in engines)
    drops = []
    progress.start("measuring", 0)
    for scene in read_scenes(datasets, data_root):
        drops.append(measure_drop(scene, card, side, one, other))
        progress.advance()
    progress.finish()
    return drops
