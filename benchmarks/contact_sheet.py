"""What the networks of `benchmarks.places` find where they have never been, as pictures.

    export BUILDEXT_DATA=/path
    python -m benchmarks.contact_sheet studies/light -o sheets

`sheets/places.jpg` shows the densest part of each dataset, `sheets/worst.jpg` the ten chips of 192
model pixels where most is wrong, at most two of a dataset, and `sheets/worst.txt` where they lie:
cyan what was found, yellow the labels. What is wrong in a chip is the share of its buildings, found
or true, that only one of the two has; chips less than a tenth of which is built do not count. The
pictures show datasets that may not be passed on, too: their cards say so (`redistribute`).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_geom

from benchmarks.accuracy import pairs
from benchmarks.places import PLACES, judge
from buildext.extract.options import ExtractOptions, Outputs
from buildext.extract.pipeline import Job, open_job, run

CROP_PX, CHIP_PX = 448, 192
WORST, OF_ONE_DATASET = 10, 2
LEAST_BUILT = 0.1


@dataclass(frozen=True)
class Picture:
    """A part of a scene.

    Attributes:
        title: which scene and which part.
        image: `(H, W, 3)` uint8.
        found: `(H, W)`, buildings that the network found.
        true: `(H, W)`, those of the labels.
    """

    title: str
    image: NDArray[np.uint8]
    found: NDArray[np.bool_]
    true: NDArray[np.bool_]

    @property
    def wrong(self) -> float:
        """Share of all that is built, found or true, that only one of the two has."""
        built = self.found | self.true
        if built.mean() < LEAST_BUILT:
            return 0.0
        return float((self.found ^ self.true).sum() / built.sum())

    def part(self, row: int, col: int, side_px: int) -> Picture:
        rows, cols = slice(row, row + side_px), slice(col, col + side_px)
        title = f"{self.title}\nrow {row}, column {col}"
        return Picture(title, self.image[rows, cols], self.found[rows, cols], self.true[rows, cols])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="the folder that benchmarks.places wrote")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sheet, chips = [], []
    for name, model in models(arguments.study):
        pictures = list(scenes(name, model))
        sheet.append(max((densest(one) for one in pictures), key=lambda one: one.true.sum()))
        chips += [chip for picture in pictures for chip in cut(picture)]
    chips.sort(key=lambda chip: -chip.wrong)
    worst, of = [], Counter[str]()
    for chip in chips:
        dataset = chip.title.split("/")[0]
        if of[dataset] < OF_ONE_DATASET and len(worst) < WORST:
            of[dataset] += 1
            worst.append(chip)
    draw(sheet, arguments.out / "places.jpg", columns=4)
    draw(worst, arguments.out / "worst.jpg", columns=5)
    lines = [f"{chip.wrong:.2f} {' '.join(chip.title.split())}" for chip in worst]
    (arguments.out / "worst.txt").write_text("\n".join(lines) + "\n")


def models(study: Path) -> Iterator[tuple[str, Path]]:
    """Each dataset that judges, with the network that has not seen its place."""
    known = tomllib.loads(PLACES.read_text())
    fold_of = {place: fold for fold, places in known["folds"].items() for place in places}
    for place, datasets in known["places"].items():
        for group in (place, fold_of[place]):
            model = study / group / "run" / "model"
            if model.exists():
                yield from ((name, model) for name in datasets if judge(name) is not None)
                break


def scenes(name: str, model: Path) -> Iterator[Picture]:
    """Every scene of a dataset, whole, with what the network finds there."""
    card = judge(name)
    assert card is not None  # `models` asked
    for image, labels in pairs(Path(os.environ["BUILDEXT_DATA"]), card):
        with (
            tempfile.TemporaryDirectory() as folder,
            open_job([image], ExtractOptions(model=str(model))) as job,
        ):
            output = Path(folder) / "out.gpkg"
            run(job, Outputs(output))
            pixels, _ = job.scene.read(job.window)
            found, true = on_grid(output, job), on_grid(labels, job)
            yield Picture(f"{name}/{image.stem}", pixels.transpose(1, 2, 0), found, true)


def on_grid(path: Path, job: Job) -> NDArray[np.bool_]:
    """A layer of polygons or a mask on the pixels that were looked at."""
    frame, shape = job.frame, (job.window.height, job.window.width)
    if path.suffix == ".tif":
        with (
            rasterio.open(path) as file,
            WarpedVRT(
                file, crs=frame.crs, transform=frame.transform, height=shape[0], width=shape[1]
            ) as view,
        ):
            mask: NDArray[np.bool_] = view.read(1) > 0
            return mask
    layer = pyogrio.list_layers(path)[0, 0]
    meta, _, found, _ = pyogrio.raw.read(path, layer=layer, columns=[])
    shapes: list[Any] = [shapely.geometry.mapping(one) for one in shapely.from_wkb(found)]
    there = transform_geom(meta["crs"], frame.crs, shapes) if shapes else []
    return job.scene.rasterize(map(shapely.geometry.shape, there), job.window)


def densest(picture: Picture) -> Picture:
    """The part with most buildings that the labels know."""
    return max(parts(picture, CROP_PX), key=lambda part: part.true.sum())


def cut(picture: Picture) -> Iterator[Picture]:
    """All chips in which something is wrong."""
    return (chip for chip in parts(picture, CHIP_PX) if chip.wrong > 0)


def parts(picture: Picture, side_px: int) -> Iterator[Picture]:
    """Squares side by side; the scene itself where it is smaller."""
    height, width = picture.true.shape
    for row in range(0, max(height - side_px, 0) + 1, side_px):
        for col in range(0, max(width - side_px, 0) + 1, side_px):
            yield picture.part(row, col, side_px)


def draw(pictures: list[Picture], path: Path, columns: int) -> None:
    """One sheet, with outlines."""
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 3.5 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture in zip(axes.flat[: len(pictures)], pictures, strict=True):
        axis.imshow(picture.image)
        for mask, colour, width in ((picture.true, "#ffd21f", 0.8), (picture.found, "#00e5ff", 1)):
            if mask.any() and not mask.all():
                axis.contour(mask, levels=[0.5], colors=[colour], linewidths=width)
        axis.set_title(picture.title, fontsize=7)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=100, pil_kwargs={"quality": 80})
    plt.close(figure)


if __name__ == "__main__":
    main()
