"""Labelled scenes that models are judged on."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rasterio

from buildext.errors import MissingInputError, UsageError

# Beside the package in a checkout: scenes that no bundled model was trained on.
DATASETS = Path(__file__).parents[2] / "datasets"


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """An image and the buildings in it.

    Attributes:
        name: shown.
        image: of any kind that `extract` takes.
        labels: polygons, or a mask.
        are_objects: whether labels are single buildings; a mask's are not.
    """

    name: str
    image: Path
    labels: Path
    are_objects: bool


def given_scenes(images: Sequence[Path], labels: Sequence[Path]) -> list[LabelledScene]:
    """Pairs from a command line.

    Raises:
        UsageError: there are not as many labels as scenes.
        MissingInputError: a file is not there.
    """
    if len(images) != len(labels):
        raise UsageError(
            f"got {len(images)} scenes and {len(labels)} labels; expected a pair each",
            hint="give --scene S --labels L once for each scene",
        )
    for path in (*images, *labels):
        if not path.exists():
            raise MissingInputError(f"got {path}, which does not exist", hint="check the path")
    names = [image.stem for image in images]
    return [
        # Scenes are often called the same in folders of their own.
        LabelledScene(
            image.stem if names.count(image.stem) == 1 else f"{image.parent.name}/{image.stem}",
            image,
            reference,
            not is_raster(reference),
        )
        for image, reference in zip(images, labels, strict=True)
    ]


def bundled_scenes(folder: Path = DATASETS) -> list[LabelledScene]:
    """The validation scenes that lie in a checkout with their pixels.

    Raises:
        UsageError: there are none, as in an installed package.
    """
    found = []
    for path in sorted(folder.glob("*/dataset.toml")):
        card = tomllib.loads(path.read_text("utf-8"))
        for scene in card["scenes"] if card["use"] == "validate" else []:
            image, labels = (path.parent / Path(scene[key]).name for key in ("image", "labels"))
            if image.is_file() and labels.is_file():
                found.append(LabelledScene(card["name"], image, labels, card["instances"]))
    if not found:
        raise UsageError(
            "no labelled scene was given, and none comes with an installed package",
            hint="give --scene S --labels L, or run it in a checkout of the repository",
        )
    return found


def is_raster(path: Path) -> bool:
    """Whether a file of labels is a mask."""
    try:
        with rasterio.open(path):
            return True
    except rasterio.errors.RasterioIOError:
        return False
