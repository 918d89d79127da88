"""The main job: a scene in, building footprints out.

    scene → tiles → engine → blended probabilities → polygons → file

Each arrow is an iterator that pulls on the one before. Two prefetches put reading, and the network
with its blending, into threads of their own, so that pixels are decoded and polygons drawn while
the network runs; the main thread pulls at the end, shapes and writes. What is in memory at any time
is a few panels of pixels, the rows that tiles still share, and the buildings that are not closed
yet.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine

from buildext import __version__
from buildext.atomic import check_output
from buildext.engines.base import Engine
from buildext.errors import NoValidPixelError
from buildext.extract.area import Area
from buildext.extract.blend import CellRange, Layout
from buildext.extract.choices import engine_of, scene_options, separation_options, tile_sizes
from buildext.extract.options import ExtractOptions, Outputs
from buildext.extract.pace import WORTH_TIMING, remember
from buildext.extract.predict import PANELS_AHEAD, predict
from buildext.extract.prefetch import prefetch
from buildext.extract.preflight import Preflight, estimate
from buildext.extract.probability import open_probability
from buildext.extract.tiles import Mask
from buildext.footprints.assemble import assemble
from buildext.footprints.features import to_batch
from buildext.footprints.frame import GridFrame
from buildext.footprints.raw import Block, RawGroup
from buildext.footprints.review import open_review
from buildext.footprints.separate import SeparationOptions
from buildext.footprints.shape import ShapedBuilding, ShapeOptions, shape_groups
from buildext.footprints.write import format_of, open_writer
from buildext.grid.tiling import TileGrid
from buildext.grid.window import Window
from buildext.models.store import WEIGHTS_NAME, Model, load_model
from buildext.progress import Progress, SilentProgress
from buildext.scene.open import open_scene
from buildext.scene.scene import Scene

log = logging.getLogger(__name__)

CACHE_BYTES = 160_000_000
# Enough to shape many at once; few enough to go on beside the network and not after it.
_BATCH_BUILDINGS = 256


@dataclass(frozen=True, slots=True)
class Extraction:
    """What came of a run.

    Attributes:
        features: number of buildings written.
        pixels: pixels of the model grid that were looked at.
        seconds: time from the first tile to the finished files.
        settings: everything that the result depends on; stored in the outputs too.
    """

    features: int
    pixels: int
    seconds: float
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is ready: model loaded, scene open, tiles laid out, engine compiled."""

    options: ExtractOptions
    model: Model
    scene: Scene
    engine: Engine
    layout: Layout
    limit: Mask | None

    @property
    def window(self) -> Window:
        """The pixels of the model grid that are looked at."""
        return self.layout.cells.window(self.layout.grid)

    @property
    def frame(self) -> GridFrame:
        """Where the upper left corner of `window` and its pixels lie in the world."""
        shift = Affine.translation(self.window.col, self.window.row)
        return GridFrame(self.scene.transform @ shift, self.scene.crs, self.scene.gsd_m)

    @property
    def separation(self) -> SeparationOptions:
        """Thresholds as bytes and sizes in pixels."""
        return separation_options(self.model.card, self.options, self.scene.gsd_m)

    def preflight(self, outputs: Outputs) -> Preflight:
        """What the run will need."""
        return estimate(
            self.layout,
            len(self.model.card.channels),
            self.engine,
            CACHE_BYTES,
            outputs.footprints,
            outputs.probability is not None,
            self.model.card.files[WEIGHTS_NAME],
        )

    def blocks(self) -> Iterator[Block]:
        """Finished blocks of probability, in the pixels of the scene's model grid."""
        channels = len(self.model.card.channels)
        return predict(self.scene, self.layout, self.engine, channels, self.limit)

    def settings(self) -> dict[str, Any]:
        """Everything that the result depends on, as plain values."""
        card = self.model.card
        return {
            "buildext": __version__,
            "model": {"name": card.name, "version": card.version, "files": card.files},
            "label_kind": card.label_kind,
            "engine": asdict(self.engine.info),
            "scene": self.scene.describe(),
            "tile_px": self.layout.grid.tile_px,
            "overlap_px": self.layout.grid.overlap_px,
            "separation": asdict(self.separation),
            "options": self.options.to_json(),
        }


@contextlib.contextmanager
def open_job(
    paths: Sequence[Path | str], options: ExtractOptions, area: Area | None = None
) -> Iterator[Job]:
    """Load the model, open the scene and lay out the tiles.

    Args:
        paths: files or folders of one scene.
        options: see `ExtractOptions`.
        area: where to look; None looks everywhere.

    Raises:
        BuildextError: the model, the scene or the options cannot be used.
    """
    model = load_model(options.model)
    card = model.card
    tile_px, overlap_px = tile_sizes(card, options)
    # Unbidden, GDAL keeps decoded blocks in a twentieth of the machine's memory.
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES),
        open_scene(paths, scene_options(card, options)) as scene,
    ):
        grid = TileGrid(scene.height, scene.width, tile_px, overlap_px)
        cells, limit = _limits(scene, grid, area)
        engine = engine_of(model, options, scene.gsd_m)
        panel_cols = max(1, options.panel_px // grid.stride_px)
        layout = Layout(grid, cells, options.strip_rows, panel_cols)
        yield Job(options, model, scene, engine, layout, limit)


def run(job: Job, outputs: Outputs, progress: Progress | None = None) -> Extraction:
    """Run a job and write its outputs; each appears complete, or not at all.

    Raises:
        BuildextError: reading, the network or writing failed; nothing is left behind.
    """
    progress = progress or SilentProgress()
    start = time.perf_counter()
    settings, frame = job.settings(), job.frame
    window, gsd_m = job.window, job.scene.gsd_m
    label = f"{job.model.card.label_kind}s"
    count, valid_pixels = 0, 0

    def seen(blocks: Iterable[Block]) -> Iterator[Block]:
        nonlocal valid_pixels
        for block in blocks:
            local = Block(
                block.window.shifted(-window.row, -window.col), block.probability, block.valid
            )
            valid_pixels += int(block.valid.sum())
            if raster is not None:
                raster.write(local)
            yield local
            progress.advance(block.window.pixels / 1e6)

    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(
            open_writer(
                outputs.footprints,
                frame.crs,
                metadata=settings,
                overwrite=outputs.overwrite,
                layer=label,
            )
        )
        review = raster = None
        if outputs.review is not None:
            review = stack.enter_context(
                open_review(
                    outputs.review, frame.crs, metadata=settings, overwrite=outputs.overwrite
                )
            )
        if outputs.probability is not None:
            raster = stack.enter_context(
                open_probability(
                    outputs.probability,
                    (window.height, window.width),
                    frame.transform,
                    frame.crs,
                    job.model.card.channels,
                    offset_range_m=job.model.card.offset_range_m,
                    metadata=settings,
                    overwrite=outputs.overwrite,
                )
            )
        progress.start("extract", window.pixels / 1e6)
        blocks = stack.enter_context(
            contextlib.closing(prefetch(job.blocks(), PANELS_AHEAD, "buildext-network"))
        )
        groups = assemble(seen(blocks), (window.height, window.width), job.separation)
        for shaped in shape_in_batches(groups, job.options.shape, gsd_m):
            batch = to_batch(shaped, frame, count + 1)
            writer.write(batch)
            if review is not None:
                review.write(batch)
            count += batch.num_rows
        progress.finish()
        if not valid_pixels:
            raise NoValidPixelError(
                "got no valid pixel in the part of the scene that was asked for",
                hint="check --aoi, the nodata value and the alpha band",
            )
    seconds = time.perf_counter() - start
    if job.layout.tiles >= WORTH_TIMING:
        seen_tiles = job.layout.tiles * valid_pixels / window.pixels
        network = job.model.card.files[WEIGHTS_NAME]
        remember(job.engine, job.layout.grid.tile_px, network, seconds / seen_tiles)
    return Extraction(count, window.pixels, seconds, settings)


def check_outputs(outputs: Outputs, crs: Any) -> None:
    """Refuse outputs that could not be written, before any work is done.

    Raises:
        UsageError, OutputExistsError, NotWritableError: see `atomic.check_output`, `format_of`.
    """
    format_of(outputs.footprints, crs)
    for path in outputs.paths():
        check_output(path, outputs.overwrite)


def _limits(scene: Scene, grid: TileGrid, area: Area | None) -> tuple[CellRange, Mask | None]:
    """The cells that an area touches, and its mask."""
    if area is None:
        return CellRange.whole(grid), None
    polygons = area.in_crs(scene.crs)
    window = scene.window_of(_bounds(polygons))
    if window is None:
        raise NoValidPixelError(
            "got an area of interest that lies outside the scene",
            hint=f"the scene spans {_span(scene)} in its CRS",
        )
    return CellRange.covering(grid, window), lambda part: scene.rasterize(polygons, part)


def _bounds(polygons: Any) -> tuple[float, float, float, float]:
    import shapely

    xmin, ymin, xmax, ymax = shapely.total_bounds(polygons)
    return float(xmin), float(ymin), float(xmax), float(ymax)


def _span(scene: Scene) -> str:
    corners = [scene.transform @ (x, y) for x in (0, scene.width) for y in (0, scene.height)]
    xs, ys = zip(*corners, strict=True)
    return f"x {min(xs):.6g} to {max(xs):.6g}, y {min(ys):.6g} to {max(ys):.6g}"


def shape_in_batches(
    groups: Iterable[RawGroup], options: ShapeOptions, gsd_m: float
) -> Iterator[list[ShapedBuilding]]:
    """Shape groups in batches: large enough to be worth a write, and shaping many at once."""
    waiting: list[RawGroup] = []
    buildings = 0
    for group in groups:
        waiting.append(group)
        buildings += len(group)
        if buildings >= _BATCH_BUILDINGS:
            yield _shaped(waiting, options, gsd_m)
            waiting, buildings = [], 0
    if waiting:
        yield _shaped(waiting, options, gsd_m)


def _shaped(
    groups: Sequence[RawGroup], options: ShapeOptions, gsd_m: float
) -> list[ShapedBuilding]:
    return [one for group in shape_groups(groups, options, gsd_m) for one in group]
