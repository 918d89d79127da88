"""The whole pipeline with the real engine on a real scene.

On one grid of tiles nothing else may matter: not the strips, not the panels, not how many tiles are
under way, not into which files the scene is cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features
import shapely
from numpy.typing import NDArray

from buildext.errors import NoValidPixelError
from buildext.extract.area import read_area
from buildext.extract.blend import CellRange
from buildext.extract.options import ExtractOptions, Outputs
from buildext.extract.pipeline import Job, open_job, run
from buildext.footprints.shape import ShapeOptions
from tests import real

# At 0.1 m the scene has three to four tiles a side, whatever range the model was trained on.
BASE = ExtractOptions(tile_px=256, overlap_px=32, gsd_m=0.1)
BUILDING = 0


@dataclass(frozen=True)
class Found:
    """What a run found: probabilities `(K, H, W)`, and buildings without their numbers."""

    probability: NDArray[np.uint8]
    buildings: list[tuple[Any, ...]]

    def differs(self, other: Found) -> int:
        """Largest difference of a probability, in 1/255."""
        return int(np.abs(self.probability.astype(int) - other.probability).max())


Extract = Callable[..., Found]


def probability_of(job: Job) -> NDArray[np.uint8]:
    window = job.window
    image = np.zeros((len(job.model.card.channels), window.height, window.width), np.uint8)
    for block in job.blocks():
        slices = block.window.shifted(-window.row, -window.col).slices
        image[(slice(None), *slices)] = block.probability
    return image


def read_buildings(path: Path) -> list[tuple[Any, ...]]:
    meta, _, geometry, columns = pyogrio.raw.read(path, layer=0)
    kept = [column for name, column in zip(meta["fields"], columns, strict=True) if name != "id"]
    return sorted(zip(map(bytes, geometry), *(column.tolist() for column in kept), strict=True))


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> Extract:
    """Run the pipeline with options that differ from `BASE`."""
    folder = tmp_path_factory.mktemp("runs")

    def extract(*scenes: Path, **options: Any) -> Found:
        outputs = Outputs(folder / "a.gpkg", folder / "p.tif", overwrite=True)
        with open_job(scenes or [real.SCENE], replace(BASE, **options)) as job:
            run(job, outputs)
        with rasterio.open(outputs.probability) as raster:
            probability = raster.read()
        return Found(probability, read_buildings(outputs.footprints))

    return extract


@pytest.fixture(scope="module")
def expected(extract: Extract) -> Found:
    """One strip of one panel with one tile under way, in one thread."""
    found = extract(panel_px=100_000, batch=1, threads=1)
    assert len(found.buildings) > 40
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"panel_px": 100},
        {"panel_px": 500, "strip_rows": 3},
        {"strip_rows": 3},
        {"batch": 2},
        {"batch": 4, "threads": 2, "strip_rows": 100, "panel_px": 300},
        {"threads": 1},
        {"threads": 2},
    ],
    ids=str,
)
def test_nothing_but_the_tile_grid_matters(
    extract: Extract, expected: Found, options: dict[str, Any]
) -> None:
    found = extract(**options)
    assert expected.differs(found) <= 1
    assert found.buildings == expected.buildings


@pytest.mark.parametrize("shape", ["none", "simplify"])
def test_nor_for_other_shapes(extract: Extract, shape: Any) -> None:
    options = ShapeOptions(mode=shape)
    whole = extract(shape=options, panel_px=100_000, strip_rows=100)
    cut = extract(shape=options, panel_px=100, strip_rows=1)
    assert whole.buildings == cut.buildings


def test_any_split_into_blocks_gives_the_same_probabilities(expected: Found) -> None:
    union = np.zeros_like(expected.probability)
    with open_job([real.SCENE], BASE) as job:
        rows, cols = job.layout.grid.rows, job.layout.grid.cols
        assert rows >= 4 and cols >= 4
        for cells in (
            CellRange(0, 0, 1, cols),
            CellRange(1, 0, rows, 2),
            CellRange(1, 2, 3, cols),
            CellRange(3, 2, rows, cols),
        ):
            part = replace(job, layout=replace(job.layout, cells=cells))
            union[(slice(None), *part.window.slices)] = probability_of(part)
    assert np.abs(union.astype(int) - expected.probability).max() <= 1


def test_an_area_aligned_to_nothing_sees_the_same(expected: Found) -> None:
    with rasterio.open(real.SCENE) as scene:
        west, north = scene.transform @ (317.3, 241.7)
        east, south = scene.transform @ (801.9, 777.1)
    with open_job([real.SCENE], BASE, read_area(f"{west},{south},{east},{north}")) as job:
        window, limit = job.window, job.limit
        part = probability_of(job)
        assert limit is not None
        inside = limit(window)
    assert 0.2 < inside.mean() < 1
    there = expected.probability[(slice(None), *window.slices)]
    assert np.abs(part.astype(int) - there)[:, inside].max() <= 1
    assert not part[:, ~inside].any()


def test_a_scene_in_two_files_is_one_scene(extract: Extract, tmp_path: Path) -> None:
    image = real.pixels()
    whole = real.write_raster(tmp_path / "whole.tif", image)
    left = real.write_raster(tmp_path / "left.tif", image[:, :, :600])
    right = real.write_raster(tmp_path / "right.tif", image[:, :, 433:], offset_px=(433, 0))
    one, two = extract(whole), extract(left, right)
    assert one.differs(two) <= 1
    assert two.buildings == one.buildings


def test_onnxruntime_agrees_with_openvino(extract: Extract) -> None:
    ours = extract(engine="openvino", precision="f32")
    theirs = extract(engine="onnxruntime")
    assert ours.differs(theirs) <= 2


def test_bf16_finds_the_same_mask(extract: Extract) -> None:
    from buildext.errors import UsageError

    exact = extract(engine="openvino", precision="f32").probability[BUILDING] >= 128
    try:
        fast = extract(engine="openvino", precision="bf16").probability[BUILDING] >= 128
    except UsageError as error:
        pytest.skip(f"this processor has no bf16: {error}")
    assert (exact & fast).sum() / (exact | fast).sum() >= 0.99


@pytest.mark.parametrize("core", [None, 0.01])
def test_the_probability_raster_is_what_the_layer_was_drawn_from(
    extract: Extract, expected: Found, core: float | None
) -> None:
    plain = {"separate": False, "min_area_m2": 0, "min_hole_m2": 0, "core_threshold": core}
    found = extract(shape=ShapeOptions(mode="none"), **plain)
    with open_job([real.SCENE], replace(BASE, core_threshold=core)) as job:
        frame, separation = job.frame, job.separation
    polygons = shapely.from_wkb([building[0] for building in found.buildings])
    pixels = shapely.transform(
        polygons, lambda xy: np.column_stack(~frame.transform @ (xy[:, 0], xy[:, 1]))
    )
    drawn = rasterio.features.rasterize(pixels, expected.probability.shape[1:]).astype(bool)
    building = found.probability[BUILDING]
    # All of the cores is drawn, and nothing below the lower threshold.
    assert drawn[building >= separation.core_u8].all()
    assert not drawn[building < separation.threshold_u8].any()
    assert (separation.core_u8 > separation.threshold_u8) == (core is None)


def test_the_output_says_how_it_was_made(tmp_path: Path) -> None:
    with open_job([real.SCENE], BASE) as job:
        result = run(job, Outputs(tmp_path / "a.gpkg"))
        settings = job.settings()
    assert result.settings == settings
    assert result.pixels == job.window.pixels
    assert settings["engine"]["precision"] in ("bf16", "f32")
    assert settings["tile_px"] == 256
    assert "model.onnx" in settings["model"]["files"]
    with sqlite3.connect(tmp_path / "a.gpkg") as layer:
        ((text,),) = layer.execute("SELECT metadata FROM gpkg_metadata")
    layer.close()
    assert settings["model"]["files"]["model.onnx"] in text
    assert f'"{settings["engine"]["precision"]}"' in text


def test_a_part_without_valid_pixels_is_refused_and_nothing_written(tmp_path: Path) -> None:
    image = real.pixels(512)
    image[:, :, 256:] = 0
    scene = real.write_raster(tmp_path / "half.tif", image, nodata=0)
    with rasterio.open(scene) as file:
        west, north = file.transform @ (400, 100)
        east, south = file.transform @ (500, 200)
    out = tmp_path / "out"
    out.mkdir()
    area = read_area(f"{west},{south},{east},{north}")
    with open_job([scene], BASE, area) as job, pytest.raises(NoValidPixelError, match="no valid"):
        run(job, Outputs(out / "a.gpkg", out / "p.tif"))
    assert list(out.iterdir()) == []


def border_excess(mask: NDArray[np.bool_], borders: NDArray[np.int64], reach: int = 16) -> float:
    """Contour per line on the tile borders, over contour per line near them, for vertical lines.

    Args:
        mask: buildings `(H, W)`.
        borders: columns whose left side is a tile border.
        reach: how many lines to each side are "near".
    """
    edges = (mask[:, 1:] != mask[:, :-1]).sum(axis=0)
    near = np.unique((borders[:, None] + np.arange(-reach, reach + 1)).ravel())
    near = np.setdiff1d(near[(near >= 1) & (near < mask.shape[1])], borders)
    return float(edges[borders - 1].mean() / edges[near - 1].mean())


def excess(extract: Extract, overlap_px: int) -> float:
    """`border_excess` over both axes and several tile sizes."""
    ratios = []
    for tile_px in (128, 160, 192, 256):
        probability = extract(tile_px=tile_px, overlap_px=overlap_px).probability
        mask = probability[BUILDING] >= 128
        stride = tile_px - overlap_px
        for image in (mask, mask.T):
            starts = np.arange(stride, image.shape[1], stride)
            ends = starts + overlap_px
            lines = np.unique(np.concatenate((starts, ends[ends < image.shape[1]])))
            ratios.append(border_excess(image, lines))
    return float(np.mean(ratios))


def test_contours_do_not_follow_tile_borders(extract: Extract) -> None:
    assert excess(extract, 32) < 1.35
    # The measure sees seams where there are some: tiles laid side by side without blending.
    assert excess(extract, 0) > 1.7
