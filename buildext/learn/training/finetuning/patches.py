"""Patches of a scene written as an ordinary dataset, so that a fine-tuning can be done again.

Beside the card lie, for each patch, the pixels as the model saw them (8 bits, on its grid, erased
where something is held out), the outlines, and the area in which they are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import rasterio.features
import shapely
from numpy.typing import NDArray

from buildext.learn.training.finetuning.drawn import Patch

# The dataset's name.
DATASET = "place"


def write_patches(
    folder: Path,
    patches: Sequence[Patch],
    buildings: NDArray[Any],
    crs: Any,
    title: str,
    licence: str,
) -> None:
    """Write a dataset folder.

    Args:
        folder: is made.
        patches: known in part.
        buildings: outlines to learn from, in `crs`.
        crs: of the patches.
        title: whose buildings these are.
        licence: of the labels.
    """
    folder.mkdir(parents=True)
    for patch in patches:
        stem = folder / patch.scene.name.split("/", 1)[1]
        _write_pixels(stem.with_suffix(".tif"), patch, crs)
        height, width = patch.scene.labels.shape
        corners = [(0, 0), (width, 0), (width, height), (0, height)]
        extent = shapely.Polygon([patch.transform @ corner for corner in corners])
        _write_layer(
            stem.with_name(f"{stem.name}_labels.gpkg"),
            buildings[shapely.intersects(buildings, extent)],
            crs,
        )
        known = rasterio.features.shapes(
            patch.scene.known.astype(np.uint8), patch.scene.known, transform=patch.transform
        )
        area = np.array([shapely.geometry.shape(shape) for shape, _ in known], dtype=object)
        _write_layer(stem.with_name(f"{stem.name}_area.gpkg"), area, crs)
    scene = patches[0].scene
    (folder / "dataset.toml").write_text(
        f"""name = "{DATASET}"
title = {_quoted(title)}
sensor = "not stated"
gsd_m = {scene.gsd_m:.6g}
instances = {str(scene.instances).lower()}
quality = "clean"
licence = {_quoted(licence)}
attribution = ""
origin = "drawn for a fine-tuning"
redistribute = false

[[scenes]]
image = "part*.tif"
labels = "{{stem}}_labels.gpkg"
area = "{{stem}}_area.gpkg"
""",
        encoding="utf-8",
    )


def _write_pixels(path: Path, patch: Patch, crs: Any) -> None:
    scene = patch.scene
    height, width = scene.labels.shape
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": height, "width": width}
    with (
        # The mask goes into the file, not beside it.
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", crs=crs, transform=patch.transform, compress="deflate", tiled=True, **profile
        ) as target,
    ):
        target.write(np.moveaxis(scene.image, -1, 0))
        target.write_mask(scene.valid)


def _write_layer(path: Path, shapes: NDArray[Any], crs: Any) -> None:
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(shapely.force_2d(shapes)),
        field_data=[],
        fields=[],
        geometry_type="Unknown",
        crs=crs.to_wkt(),
        driver="GPKG",
    )


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else " " for c in escaped) + '"'
