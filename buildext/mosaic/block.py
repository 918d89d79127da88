"""The first stage of a block: from files to a raster of probability.

The job of a block carries all that a worker has to know, so workers keep nothing between two of
them but the compiled network, and may be anywhere that sees the files. A block is read, predicted
and blended like a scene, over its own cells on the lattice of the mosaic; the tiles before them,
which reach into them, are looked at too. What comes out is what a single pass over the lattice
would give.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from buildext import __version__
from buildext.atomic import atomic_path
from buildext.engines.base import Engine
from buildext.errors import DamagedModelError
from buildext.extract.blend import CellRange, Layout
from buildext.extract.choices import engine_of, scene_options
from buildext.extract.options import ExtractOptions
from buildext.extract.pipeline import CACHE_BYTES
from buildext.extract.predict import predict
from buildext.extract.probability import open_probability
from buildext.extract.tiles import Mask
from buildext.footprints.destination import output_errors
from buildext.footprints.raw import Block
from buildext.grid.window import Window
from buildext.models.card import Card
from buildext.models.store import load_model
from buildext.mosaic.grid import LATTICE_PX, BlockId, MosaicGrid, probability_path, source_path
from buildext.mosaic.lattice import Lattice
from buildext.mosaic.limit import Limit, LimitMask
from buildext.mosaic.rows import BlockOutcome, worker_name
from buildext.mosaic.times import Span
from buildext.scene.handles import Handles
from buildext.scene.layered import LayeredScene
from buildext.scene.plane import Placed, Plane
from buildext.scene.scaling import Stretch
from buildext.scene.scene import Scene


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """Files that are read together.

    Attributes:
        native: they lie on the base grid, else on the model grid.
        stretch: of their pixel values.
        placed: the files in order of precedence.
        numbers: of the files, for the raster of sources.
    """

    native: bool
    stretch: Stretch
    placed: tuple[Placed, ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlockJob:
    """All that the first stage of a block depends on.

    Attributes:
        out: folder of the mosaic.
        lattice: grid and base.
        block: which block.
        cells: the part of the block on which files lie; None where there is none any more.
        layers: files in order of precedence.
        options: of model, engine and reading.
        threads: of the engine.
        model_files: sha256 of the model's files, which must be those of the worker's.
        key: see `Plan.key`; stored with the raster.
        limit: the part of the block that lies in the area of interest; None: all of it.
    """

    out: Path
    lattice: Lattice
    block: BlockId
    cells: CellRange | None
    layers: tuple[LayerPlan, ...]
    options: ExtractOptions
    threads: int
    model_files: dict[str, str]
    key: str
    limit: Limit | None = None


class _NoData(Exception):  # noqa: N818 - no error: it only leaves a `with` without an output
    """Raised where a block turns out to hold no valid pixel."""


def predict_block(job: BlockJob) -> BlockOutcome:
    """Compute the probability of a block and write its rasters.

    Raises:
        DamagedSceneError: a file cannot be read; its name is in `file`.
        BuildextError: the model or the output cannot be used.
    """
    start = Span.now()
    probability, sources = probability_path(job.out, job.block), source_path(job.out, job.block)
    valid_px = 0
    if job.cells is not None:
        probability.parent.mkdir(parents=True, exist_ok=True)
        # Unbidden, GDAL keeps decoded blocks in a twentieth of the machine's memory.
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), contextlib.suppress(_NoData):
            valid_px = _predict(job, job.cells, probability, sources)
    if not valid_px:
        for path in (probability, sources):
            path.unlink(missing_ok=True)
    took = Span.now().since(start)
    return BlockOutcome(0, valid_px, took.wall_s, worker_name(), cpu_s=took.cpu_s)


def open_layers(job: BlockJob, card: Card) -> LayeredScene:
    """The files of a job as one image on the lattice."""
    options = scene_options(card, job.options)
    grid, base = job.lattice.grid, job.lattice.base
    scenes, handles = [], Handles()
    for layer in job.layers:
        resampler = base.resampler() if layer.native else None
        transform = base.transform if layer.native else grid.transform
        height, width = (
            (LATTICE_PX, LATTICE_PX)
            if resampler is None
            else (resampler.base_height, resampler.base_width)
        )
        plane = Plane(
            layer.placed, height, width, transform, grid.crs, options.allow_remote, handles
        )
        scenes.append(
            Scene(
                plane,
                layer.stretch,
                resampler,
                options,
                gsd_m=grid.gsd_m,
                native_gsd_m=grid.gsd_m / base.scale_row,
                gsd_assumed=False,
                valid_fraction=1.0,
            )
        )
    return LayeredScene(scenes, options.fill)


class Attributed:
    """A scene that notes, as it is read, which file each pixel of a window comes from."""

    def __init__(
        self,
        scene: LayeredScene,
        window: Window,
        numbers: tuple[int, ...],
        limit: Mask | None = None,
    ) -> None:
        """`numbers`: of the scene's files, in their order; `limit`: what else is without data."""
        self._scene, self._window, self._limit = scene, window, limit
        self._numbers = np.array([0, *numbers])
        self._dtype = np.min_scalar_type(len(numbers))
        self._places = np.zeros((window.height, window.width), self._dtype)

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """See `LayeredScene.read`; pixels beyond the limit have their colours and no data."""
        origin = np.zeros((window.height, window.width), self._dtype)
        pixels, valid = self._scene.read(window, origin)
        if self._limit is not None:
            inside = self._limit(window)
            valid &= inside
            origin *= inside
        part = window.intersection(self._window)
        if part is not None:
            there = part.shifted(-self._window.row, -self._window.col).slices
            self._places[there] = origin[part.shifted(-window.row, -window.col).slices]
        return pixels, valid

    def write(self, path: Path, grid: MosaicGrid, block: BlockId) -> None:
        """Write the numbers of the files as a raster of the whole block.

        Raises:
            OutputError: the file cannot be written.
        """
        whole = grid.window(block)
        dtype = "uint16" if self._numbers.max() < 2**16 else "uint32"
        profile: dict[str, Any] = {
            "driver": "GTiff",
            "height": whole.height,
            "width": whole.width,
            "count": 1,
            "dtype": dtype,
            "crs": grid.crs,
            "transform": grid.transform_of(whole),
            "compress": "deflate",
            "zlevel": 1,
            "tiled": True,
            "blockxsize": 512,
            "blockysize": 512,
            "sparse_ok": True,
        }
        inside = self._window.shifted(-whole.row, -whole.col)
        with (
            atomic_path(path, overwrite=True) as temporary,
            output_errors(path, whole.pixels),
            rasterio.open(temporary, "w", **profile) as raster,
        ):
            for row in range(0, inside.height, 512):
                rows = self._numbers[self._places[row : row + 512]].astype(dtype)
                place = (inside.col, inside.row + row, inside.width, len(rows))
                raster.write(rows, 1, window=RasterWindow(*place))


def _predict(job: BlockJob, cells: CellRange, probability: Path, sources: Path) -> int:
    """Write both rasters; the number of valid pixels.

    Raises:
        _NoData: there are none, and nothing was written.
    """
    grid = job.lattice.grid
    whole, tiles = grid.window(job.block), grid.tiles
    card, engine = _network(job)
    panel_cols = max(1, job.options.panel_px // tiles.stride_px)
    layout = Layout(tiles, cells, job.options.strip_rows, panel_cols)
    valid_px = 0
    with contextlib.closing(open_layers(job, card)) as scene:
        numbers = tuple(number for layer in job.layers for number in layer.numbers)
        limit = None if job.limit is None else LimitMask(job.limit)
        attributed = Attributed(scene, cells.window(tiles), numbers, limit)
        with open_probability(
            probability,
            (whole.height, whole.width),
            grid.transform_of(whole),
            grid.crs,
            grid.channels,
            offset_range_m=card.offset_range_m,
            metadata={"buildext": __version__, "model": card.name, "key": job.key},
            overwrite=True,
            threads=job.threads,
        ) as raster:
            blocks = predict(attributed, layout, engine, len(grid.channels))
            with contextlib.closing(blocks), _engine_lock:
                for block in blocks:
                    valid_px += int(block.valid.sum())
                    local = block.window.shifted(-whole.row, -whole.col)
                    raster.write(Block(local, block.probability, block.valid))
            if not valid_px:
                raise _NoData
            attributed.write(sources, grid, job.block)
    return valid_px


_engine_lock = threading.RLock()
_networks: dict[tuple[Any, ...], tuple[Card, Engine]] = {}


def _network(job: BlockJob) -> tuple[Card, Engine]:
    """The card and the compiled network of a job: loaded once in a process, kept for the next.

    Raises:
        DamagedModelError: the model of this name is another one here than where the plan was made.
    """
    options = replace(job.options, threads=job.threads)
    grid = job.lattice.grid
    looks = (grid.tile_px, grid.gsd_m, options.second_scale)
    tiling = (*looks, options.device, options.precision, options.batch)
    name = (options.model, tuple(sorted(job.model_files.items())))
    key = (*name, options.engine, job.threads, *tiling)
    with _engine_lock:
        if key not in _networks:
            model = load_model(options.model)
            if model.card.files != job.model_files:
                raise DamagedModelError(
                    f"the model {options.model!r} is another one on {socket.gethostname()}",
                    hint="install the same model on all workers, or name a folder that all see",
                )
            # One at a time: the one before is of an earlier run with other options.
            _networks.clear()
            _networks[key] = (model.card, engine_of(model, options, grid.gsd_m))
        return _networks[key]
