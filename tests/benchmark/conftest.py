"""A corner of a bundled scene, small enough to be looked at many times."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
from rasterio.windows import Window

DATASETS = Path(__file__).parents[2] / "datasets"
SIDE_PX = 700


@pytest.fixture(scope="session")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The middle of the village, some 50 m wide."""
    path = tmp_path_factory.mktemp("corner") / "corner.tif"
    with rasterio.open(DATASETS / "zanzibar_b" / "scene.tif") as scene:
        window = Window(
            (scene.width - SIDE_PX) // 2, (scene.height - SIDE_PX) // 2, SIDE_PX, SIDE_PX
        )
        profile = {
            "driver": "GTiff",
            "dtype": "uint8",
            "count": 3,
            "width": SIDE_PX,
            "height": SIDE_PX,
            "crs": scene.crs,
            "transform": scene.window_transform(window),
        }
        with rasterio.open(path, "w", **profile) as out:
            out.write(scene.read((1, 2, 3), window=window))
    return path


@pytest.fixture(scope="session")
def labels() -> Path:
    """The true buildings of the village."""
    return DATASETS / "zanzibar_b" / "buildings.gpkg"
