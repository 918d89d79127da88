"""The main job on a real scene that comes with the repository, through the library.

    python examples/demo.py --out out

Extracts the buildings of a small drone scene, scores them against the buildings that people drew
there, and draws the outlines over the image. It needs the core install alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from picture import Pen, draw, read_image, read_polygons, write_picture
from rich.console import Console

from buildext.errors import BuildextError
from buildext.evaluate import EvaluateOptions, Frame, evaluate_files, format_table
from buildext.extract.options import ExtractOptions, Outputs
from buildext.extract.pipeline import open_job, run
from buildext.progress import RichProgress

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
PREDICTED = Pen(colour=(0, 229, 255), width_px=2.5, fill=0.12)
SHADOW = Pen(colour=(0, 25, 40), width_px=4.0)
REFERENCE = Pen(colour=(255, 255, 255), width_px=1.2)


def main() -> None:
    """Extract, score, draw."""
    parser = argparse.ArgumentParser(description="Extract a bundled scene, score it, draw it.")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    parser.add_argument("--model", default="default", help="bundled name or model folder")
    parser.add_argument(
        "--scene",
        default="zanzibar_b",
        choices=["zanzibar_b", "kampala_b"],
        help="a village, or a dense block of houses that touch",
    )
    parser.add_argument("--size", type=int, default=1600, help="longer side of the picture [px]")
    parser.add_argument("--reference", action="store_true", help="draw the reference too, in white")
    parser.add_argument("--format", default="png", choices=["png", "jpg"], help="of the picture")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    image = DATASETS / args.scene / "scene.tif"
    reference = DATASETS / args.scene / "buildings.gpkg"
    buildings = args.out / f"{args.scene}.gpkg"
    picture = args.out / f"{args.scene}.{args.format}"
    console = Console()

    with open_job([image], ExtractOptions(model=args.model)) as job:
        result = run(job, Outputs(buildings, overwrite=True), RichProgress(Console(stderr=True)))
        frame, window = job.frame, job.window
    console.print(
        f"{result.features} buildings in {result.seconds:.1f} s from {result.pixels / 1e6:.1f} "
        f"megapixels at {frame.gsd_m:.2f} m\n",
        highlight=False,
    )
    extent = Frame.of(frame.crs, frame.transform, window.height, window.width, "scene")
    console.print(
        format_table(evaluate_files(buildings, reference, EvaluateOptions(extent=extent)))
    )

    canvas, transform = read_image(image, args.size)
    polygons = read_polygons(buildings, transform)
    canvas = draw(draw(canvas, polygons, SHADOW), polygons, PREDICTED)
    if args.reference:
        canvas = draw(canvas, read_polygons(reference, transform), REFERENCE)
    write_picture(picture, canvas)
    console.print(f"\nbuildings  {buildings.resolve()}", soft_wrap=True, highlight=False)
    console.print(f"picture    {picture.resolve()}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    try:
        main()
    except BuildextError as error:
        sys.exit(f"Error: {error}\n  {error.hint}")
