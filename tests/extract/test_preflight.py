"""The estimate before a run: it counts what is there, and grows with what grows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from buildext.engines.base import EngineInfo, FloatArray, Key, UInt8Array
from buildext.extract.blend import CellRange, Layout
from buildext.extract.pace import remember
from buildext.extract.preflight import duration, estimate
from buildext.grid.tiling import TileGrid


class Copying:
    """An engine whose network says that everything is as bright as it is."""

    def __init__(self, tiles_in_flight: int = 2) -> None:
        self.info = EngineInfo("copying", "1", "cpu", "f32", 1, tiles_in_flight)
        self.tiles = 0

    def infer(self, batch: UInt8Array) -> FloatArray:
        self.tiles += len(batch)
        return (batch[:, :2] / 255).astype(np.float32)

    def stream(
        self, jobs: Iterator[tuple[Key, UInt8Array | None]]
    ) -> Iterator[tuple[Key, FloatArray | None]]:
        for key, image in jobs:
            yield key, None if image is None else self.infer(image[None])[0]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run has left its pace."""
    monkeypatch.setenv("BUILDEXT_CACHE", str(tmp_path / "cache"))


def layout_of(height: int, width: int) -> Layout:
    grid = TileGrid(height, width, 64, 8)
    return Layout(grid, CellRange.whole(grid))


def test_sizes_and_disk(tmp_path: Path) -> None:
    layout = layout_of(640, 1000)
    engine = Copying()
    flight = estimate(layout, 2, engine, 1e8, tmp_path / "a.gpkg", raster=False, network="a")
    assert flight.pixels == 640_000
    assert flight.tiles == layout.grid.rows * layout.grid.cols
    assert flight.disk_free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
    assert flight.seconds is not None and flight.seconds > 0
    assert 1 <= engine.tiles <= 8
    with_raster = estimate(layout, 2, engine, 1e8, tmp_path / "a.gpkg", raster=True, network="a")
    assert with_raster.disk_bytes > flight.disk_bytes
    # The pace is known by now.
    assert engine.tiles <= 8
    assert with_raster.seconds == flight.seconds


def test_the_pace_is_that_of_the_last_run_of_this_very_network(tmp_path: Path) -> None:
    layout, engine = layout_of(640, 1000), Copying()

    def seconds(network: str) -> float | None:
        return estimate(layout, 2, engine, 0, tmp_path / "a", False, network).seconds

    remember(engine, layout.grid.tile_px, "a", 0.5)
    assert seconds("a") == 0.5 * layout.tiles
    assert engine.tiles == 0
    assert seconds("b") != seconds("a")
    assert engine.tiles > 0
    remember(engine, layout.grid.tile_px, "a", 0.25)
    assert seconds("a") == 0.25 * layout.tiles


def test_a_short_run_is_not_timed(tmp_path: Path) -> None:
    engine = Copying()
    assert estimate(layout_of(64, 64), 2, engine, 0, tmp_path / "a", False, "a").seconds is None
    assert engine.tiles == 0


def test_memory_does_not_grow_with_the_height_and_little_with_the_width(tmp_path: Path) -> None:
    def memory(height: int, width: int, in_flight: int = 2) -> float:
        engine = Copying(in_flight)
        return estimate(
            layout_of(height, width), 2, engine, 0, tmp_path / "a", False, "a"
        ).memory_bytes

    assert memory(100_000, 5000) == memory(1000, 5000)
    assert memory(1000, 200_000) - memory(1000, 5000) == pytest.approx(195_000 * 8 * 2 * 4)
    assert memory(1000, 5000, 8) > memory(1000, 5000, 2)


def test_only_the_asked_for_cells_count(tmp_path: Path) -> None:
    layout = replace(layout_of(640, 640), cells=CellRange(2, 3, 4, 8))
    flight = estimate(layout, 2, Copying(), 0, tmp_path / "a", False, "a")
    assert flight.tiles == 10
    assert flight.pixels == 2 * 56 * 5 * 56


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (5400, "1.5 h")]
)
def test_durations_as_a_person_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
