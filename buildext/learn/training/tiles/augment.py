"""Changes of a tile's colours, sharpness and extent, so that one network serves many sensors.

Geometry (rotation, flip, resolution) belongs to `sampling`. Here a tile becomes hazy, over-exposed,
gray like a panchromatic scene, stretched like a 16-bit satellite scene that was scaled by
percentiles, noisy, blurred or JPEG-compressed, or loses an area as at a scene's edge. Everything
is drawn from the generator handed in: equal generators give equal tiles.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from buildext.learn.training.config import AugmentSection
from buildext.learn.training.data.scenes import FILL_RGB, Tile

if TYPE_CHECKING:
    from albumentations import Compose


def augment(tile: Tile, options: AugmentSection, rng: np.random.Generator) -> Tile:
    """A changed copy of `tile`; labels move nowhere, weights shrink where an area is dropped."""
    image, valid = tile.image, tile.valid
    if options.strength > 0:
        if rng.random() < 0.3 * options.strength:
            image = stretch_contrast(image, rng)
        if rng.random() < 0.2 * options.strength:
            image = add_haze(image, rng)
        if rng.random() < 0.4 * options.strength:
            image = shift_channels(image, options.strength, rng)
        image = photographic(image, options.strength, int(rng.integers(2**31)))
    if rng.random() < options.gray:
        image = to_gray(image, rng)
    if rng.random() < options.nodata:
        valid = drop_area(valid, rng)
    # Fill is exact also after the changes: at extraction it has one constant colour.
    image = np.where(valid[..., None], image, np.array(FILL_RGB, np.uint8))
    return replace(tile, image=image, weight=tile.weight & valid, valid=valid)


def photographic(image: NDArray[np.uint8], strength: float, seed: int) -> NDArray[np.uint8]:
    """Brightness, contrast, gamma, hue, blur, noise and JPEG: the thin face of albumentations."""
    pipeline = _pipeline(strength)
    pipeline.set_random_seed(seed)
    return np.asarray(pipeline(image=image)["image"], np.uint8)


@cache
def _pipeline(strength: float) -> Compose:
    # albumentations asks its server for a newer version at import unless told not to.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations as A

    def often(probability: float) -> float:
        return min(1.0, probability * strength)

    return A.Compose(
        [
            A.RandomBrightnessContrast(0.25, 0.3, p=often(0.5)),
            A.RandomGamma((60, 160), p=often(0.3)),
            A.HueSaturationValue(12, 35, 0, p=often(0.4)),
            A.OneOf(
                [
                    A.GaussianBlur(sigma_limit=(0.4, 1.3), blur_limit=0),
                    A.Downscale(scale_range=(0.5, 0.8)),
                    A.Sharpen(alpha=(0.1, 0.4), lightness=(0.8, 1.0)),
                ],
                p=often(0.35),
            ),
            A.GaussNoise(std_range=(0.01, 0.05), p=often(0.2)),
            A.ImageCompression(quality_range=(35, 90), p=often(0.2)),
        ]
    )


def stretch_contrast(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scale a low and a high percentile to 0 and 255, as 16-bit satellite scenes arrive."""
    low, high = np.percentile(image[::4, ::4], [rng.uniform(0, 3), rng.uniform(96, 100)])
    table = (np.arange(256) - low) * (255.0 / max(high - low, 16.0))
    lookup = np.clip(table, 0, 255).astype(np.uint8)
    stretched: NDArray[np.uint8] = lookup[image]
    return stretched


def add_haze(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Mix with a bright, slightly blue veil: I = J t + A (1 - t) with a uniform transmission t."""
    transmission = np.float32(rng.uniform(0.45, 0.9))
    veil = rng.uniform(150, 230) + np.array([-8.0, 0.0, 8.0]) * rng.uniform(0, 1)
    hazy = image * transmission + (veil * (1 - transmission)).astype(np.float32)
    return np.asarray(np.clip(hazy, 0, 255), np.uint8)


def shift_channels(
    image: NDArray[np.uint8], strength: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A gain and an offset for each channel: another sensor's colour balance."""
    gain = 1 + strength * rng.uniform(-0.18, 0.18, 3)
    offset = strength * rng.uniform(-14, 14, 3)
    table = np.arange(256)[:, None] * gain + offset
    lookup = np.clip(table, 0, 255).astype(np.uint8)
    return np.stack([lookup[image[..., c], c] for c in range(3)], axis=-1)


def to_gray(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One band three times, a random mixture of the colours: a panchromatic scene."""
    mixture = rng.dirichlet([3.0, 3.0, 2.0]).astype(np.float32)
    gray = (image @ mixture).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1)


def drop_area(valid: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Take a rectangle or a half-plane out of the valid area, as at the edge of a scene."""
    height, width = valid.shape
    rows, cols = np.mgrid[0:height, 0:width]
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        distance = np.cos(angle) * (cols - width / 2) + np.sin(angle) * (rows - height / 2)
        dropped = distance > rng.uniform(0.0, 0.5) * min(height, width)
    else:
        size_y, size_x = (
            rng.integers(height // 8, height // 2),
            rng.integers(width // 8, width // 2),
        )
        row, col = rng.integers(0, height - size_y), rng.integers(0, width - size_x)
        dropped = (rows >= row) & (rows < row + size_y) & (cols >= col) & (cols < col + size_x)
    return np.asarray(valid & ~dropped, np.bool_)
