"""Calibration tiles: what a network is shown so that its numbers can be seen.

A few dozen tiles are enough, if they look like the scenes to come: calibrate on the sensor and the
kind of town that will be extracted. Labels are not needed. Tiles come from datasets, cut upright at
the model's preferred resolution and evenly from all scenes, or from image files, which are taken
pixel for pixel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from buildext.errors import MissingInputError, UsageError
from buildext.learn.training.data.dataset import open_dataset
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.tiles.sampling import Placement, Pyramid
from buildext.models.card import Gsd

CARD_FILE = "dataset.toml"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
# Less of a tile than this may be without data; a few draws decide.
MIN_VALID = 0.6
DRAWS = 20


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
    gsd: Gsd,
    data_root: Path | None = None,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Tiles from datasets and image files, `(number, 3, tile_px, tile_px)`.

    Args:
        sources: folders of datasets (with `dataset.toml`), folders of images, or images.
        number: how many.
        tile_px: their side.
        gsd: of the model; decides the resolution that scenes of datasets are cut at.
        data_root: where datasets' paths start.
        seed: of the places.

    Raises:
        MissingInputError: a source is not there, or holds nothing.
        UsageError: no tile could be cut.
    """
    scenes: list[tuple[LabelledScene, float]] = []
    for source in sources:
        if (source / CARD_FILE).is_file():
            own = read_scenes([source], data_root)
            scenes += [(scene, resolution(scene, gsd)) for scene in own]
        else:
            scenes += [(_as_scene(path), 1.0) for path in _images(source)]
    return cut_evenly(scenes, number=number, tile_px=tile_px, seed=seed)


def cut_evenly(
    scenes: Sequence[tuple[LabelledScene, float]], *, number: int, tile_px: int, seed: int
) -> NDArray[np.uint8]:
    """Upright tiles from scenes in turn, at random places, `(number, 3, tile_px, tile_px)`.

    Args:
        scenes: each with the metres per pixel that it is cut at.
        number: how many tiles.
        tile_px: their side.
        seed: of the places.

    Raises:
        UsageError: too few places have data.
    """
    rng = np.random.default_rng([seed, 7])
    pyramids = [(Pyramid(scene), gsd_m) for scene, gsd_m in scenes]
    found: list[NDArray[np.uint8]] = []
    for attempt in range(DRAWS * number):
        pyramid, gsd_m = pyramids[attempt % len(pyramids)]
        scene = pyramid.scene
        half = min(tile_px * gsd_m / scene.gsd_m, *scene.labels.shape) / 2
        height, width = scene.labels.shape
        centre = (float(rng.uniform(half, width - half)), float(rng.uniform(half, height - half)))
        tile = pyramid.cut(Placement(centre, 0.0, False, gsd_m), tile_px)
        if tile.valid.mean() >= MIN_VALID:
            found.append(np.moveaxis(tile.image, -1, 0))
        if len(found) == number:
            return np.ascontiguousarray(np.stack(found))
    raise UsageError(
        f"only {len(found)} of {number} calibration tiles of {tile_px} px could be cut",
        hint="give more images, or smaller --tile-px",
    )


def resolution(scene: LabelledScene, gsd: Gsd) -> float:
    """Metres per pixel at which a model looks at a scene: its preferred, but nothing enlarged."""
    return min(max(gsd.preferred_m, scene.gsd_m), gsd.max_m)


def digest(tiles: NDArray[np.uint8]) -> str:
    """sha256 of the pixels."""
    return hashlib.sha256(tiles.tobytes()).hexdigest()


def _images(source: Path) -> list[Path]:
    """Image files in a folder, or the file itself."""
    found = (
        sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
        if source.is_dir()
        else [source]
        if source.is_file()
        else []
    )
    if not found:
        raise MissingInputError(
            f"got {source}, where there is no dataset and no image",
            hint=f"give a folder with {CARD_FILE}, or with images ({', '.join(SUFFIXES)})",
        )
    return found


def _as_scene(path: Path) -> LabelledScene:
    """An image without labels, one unit a pixel."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise MissingInputError(f"cannot read {path} as an image", hint="check the file")
    shape = image.shape[:2]
    rgb = np.ascontiguousarray(np.asarray(image[..., ::-1], np.uint8))
    everywhere = np.ones(shape, np.bool_)
    return LabelledScene(
        f"images/{path.stem}", rgb, np.zeros(shape, np.int32), everywhere, everywhere, False, 1.0
    )
