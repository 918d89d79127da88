"""A small place in which every kind of mistake occurs once, known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from buildext.evaluate.options import EvaluateOptions
from tests.evaluate.files import box, write_mask, write_vector

SIDE = 64

TRUE = [
    box(0, 0, 10, 10),  # found, 1 m too far east
    box(20, 0, 30, 10),  # in two parts, of which the larger one matches
    box(40, 0, 50, 10),  # merged with the next one
    box(50, 0, 62, 10),
    box(0, 30, 10, 40),  # missed
]
HEIGHTS_M = [4.0, 4.0, 50.0, 50.0, 50.0]

PREDICTED = [
    box(1, 0, 11, 10),
    box(20, 0, 24, 10),
    box(24, 0, 30, 10),
    box(40, 0, 62, 10),
    box(28, 30, 34, 36),  # nothing there; nearest is what is missed
]
CONFIDENCE = [0.9, 0.8, 0.7, 0.6, 0.95]


def write_place(folder: Path, pred_name: str = "pred.gpkg") -> tuple[Path, Path, Path]:
    """Prediction, reference and image of the place."""
    pred = write_vector(folder / pred_name, PREDICTED, fields={"confidence": CONFIDENCE})
    ref = write_vector(folder / "ref.gpkg", TRUE, fields={"height_m": HEIGHTS_M})
    pixels = np.random.default_rng(0).integers(1, 255, (3, SIDE, SIDE), dtype=np.uint8)
    return pred, ref, write_mask(folder / "scene.tif", pixels)


def options(image: Path) -> EvaluateOptions:
    return EvaluateOptions(extent=image, height_field="height_m", tile_px=32, resamples=20)
