"""Calibration tiles: what a network is shown so that its numbers can be seen.

A few dozen tiles are enough, if they look like the scenes to come: calibrate on the sensor and the
kind of town that will be extracted. Labels are not needed. Tiles come from datasets and from image
files, in turns, upright and at the resolution that extraction would look at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from buildext.errors import MissingInputError, UsageError
from buildext.grid.window import Window
from buildext.learn.training.data.dataset import open_dataset
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.tiles.sampling import Placement, Pyramid
from buildext.models.card import Card, Gsd
from buildext.scene.open import open_scene
from buildext.scene.options import SceneOptions
from buildext.scene.scene import Scene

CARD_FILE = "dataset.toml"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".vrt")
# Less of a tile than this may be without data; a few draws decide.
MIN_VALID = 0.6
DRAWS = 20

# Draws a tile of so many pixels: uint8 (3, H, W), and where it is valid.
Cut = Callable[[np.random.Generator, int], tuple[NDArray[np.uint8], NDArray[np.bool_]]]


def read_scenes(folders: Sequence[Path], data_root: Path | None) -> Iterator[LabelledScene]:
    """The scenes of datasets, one at a time.

    Raises:
        InputError: a file is missing or unusable.
    """
    for folder in folders:
        for loaded in open_dataset(folder, data_root):
            yield loaded.scene


def calibration_tiles(
    sources: Sequence[Path],
    *,
    number: int,
    tile_px: int,
    card: Card,
    data_root: Path | None = None,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Tiles from datasets and image files, `(number, 3, tile_px, tile_px)`.

    Args:
        sources: folders of datasets (with `dataset.toml`), folders of images, or images.
        number: how many.
        tile_px: their side.
        card: of the model, which says what it looks at.
        data_root: where datasets' paths start.
        seed: of the places.

    Raises:
        InputError: a source is not there, cannot be read, or holds nothing.
        UsageError: no tile could be cut.
    """
    options = SceneOptions(
        gsd_range_m=(card.gsd.min_m, card.gsd.max_m),
        percentiles=card.percentiles,
        fill=card.fill,
        # A picture without a place is taken pixel for pixel.
        pixel_units=True,
    )
    with ExitStack() as opened:
        cuts: list[Cut] = []
        for source in sources:
            if (source / CARD_FILE).is_file():
                cuts += [from_labelled(s, card.gsd) for s in read_scenes([source], data_root)]
            else:
                files = [open_scene([path], options) for path in _images(source)]
                cuts += [_from_file(opened.enter_context(scene)) for scene in files]
        return cut_evenly(cuts, number=number, tile_px=tile_px, seed=seed)


def cut_evenly(
    cuts: Sequence[Cut], *, number: int, tile_px: int, seed: int = 0
) -> NDArray[np.uint8]:
    """Tiles drawn from several images in turn, `(number, 3, tile_px, tile_px)`.

    Raises:
        UsageError: too few places have data.
    """
    rng = np.random.default_rng([seed, 7])
    found: list[NDArray[np.uint8]] = []
    for attempt in range(DRAWS * number):
        image, valid = cuts[attempt % len(cuts)](rng, tile_px)
        if valid.mean() >= MIN_VALID:
            found.append(image)
        if len(found) == number:
            return np.ascontiguousarray(np.stack(found))
    raise UsageError(
        f"only {len(found)} of {number} calibration tiles of {tile_px} px could be cut",
        hint="give more images, or a smaller --tile-px",
    )


def from_labelled(scene: LabelledScene, gsd: Gsd) -> Cut:
    """Tiles of a scene in memory."""
    pyramid, gsd_m = Pyramid(scene), resolution(scene, gsd)

    def cut(rng: np.random.Generator, tile_px: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        height, width = scene.labels.shape
        half = min(tile_px * gsd_m / scene.gsd_m, height, width) / 2
        centre = (float(rng.uniform(half, width - half)), float(rng.uniform(half, height - half)))
        tile = pyramid.cut(Placement(centre, 0.0, False, gsd_m), tile_px)
        return np.moveaxis(tile.image, -1, 0), tile.valid

    return cut


def resolution(scene: LabelledScene, gsd: Gsd) -> float:
    """Metres per pixel at which extraction would look at a scene."""
    return min(max(scene.gsd_m, gsd.min_m), gsd.max_m)


def digest(tiles: NDArray[np.uint8]) -> str:
    """sha256 of the pixels."""
    return hashlib.sha256(tiles.tobytes()).hexdigest()


def _from_file(scene: Scene) -> Cut:
    """Tiles of an opened scene."""

    def cut(rng: np.random.Generator, tile_px: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        row = int(rng.integers(0, max(1, scene.height - tile_px + 1)))
        col = int(rng.integers(0, max(1, scene.width - tile_px + 1)))
        return scene.read(Window(row, col, tile_px, tile_px))

    return cut


def _images(source: Path) -> list[Path]:
    """Image files in a folder, or the file itself."""
    found = [source] if source.is_file() else []
    if source.is_dir():
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise MissingInputError(
            f"got {source}, where there is no dataset and no image",
            hint=f"give a folder with {CARD_FILE}, or with images ({', '.join(SUFFIXES)})",
        )
    return found
