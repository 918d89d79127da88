"""The `simulate` job: footprints with heights in, a folder with a scene and its truth out.

| file | holds |
|---|---|
| `scene.tif` | the image |
| `roof.tif` | 1 where a roof is seen |
| `facade.tif` | 1 where a building's wall is seen |
| `instances.tif` | number of the structure + 1 where a roof is seen |
| `roofs.gpkg`, `tiers.gpkg`, `footprints.gpkg` | see `truth` |
| `tiles.gpkg` | squares of 512 pixels with the view's angles |
| `simulation.json` | settings and checksums |

The image is rendered tile by tile, in panels of a few tiles' width: neighbours in both directions
are rendered soon after each other and share what is kept in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import shutil
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext import __version__
from buildext.errors import NotWritableError, OutputExistsError, UsageError
from buildext.footprints.destination import output_errors
from buildext.grid.window import Window
from buildext.progress import Progress, SilentProgress
from buildext.simulate.city import City, FieldNames, build_city
from buildext.simulate.cutting import cut_patches
from buildext.simulate.grid import ImageGrid, windows_over
from buildext.simulate.ground import project
from buildext.simulate.label_errors import LabelErrors
from buildext.simulate.layer import Layer, read_layer, write_layer
from buildext.simulate.render import Rendered, Renderer, Sun
from buildext.simulate.sensor import Sensor
from buildext.simulate.texture import Textures
from buildext.simulate.truth import find_structures, footprints_layer, roofs_layer, tiers_layer
from buildext.simulate.view import View, frame_camera, satellite
from buildext.simulate.world import World

log = logging.getLogger(__name__)

BLOCK_PX = 512
_MARGIN_M = 12.0
_PANEL_PX = 4096
# Blocks wait for their neighbours at the borders of tiles only.
_CACHE_BYTES = 64 * 2**20
_RECORD = "simulation.json"


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """What to render.

    Attributes:
        off_nadir_deg, azimuth_deg: the view; see `lean`.
        camera_height_m: height of a frame camera above the ground, over which the view has the
            given angles in the scene's middle; None for a satellite.
        gsd_m: metres per pixel.
        sun: where the sun stands.
        sensor: what the sensor does.
        jpeg_quality: quality of the JPEG compression of the image; None keeps every grey level.
        errors: of the footprints, beside their lean.
        fields: names of fields.
        layer: layer of the file; None takes the first.
        extent: west, south, east, north in the CRS of the footprints; None: all of them.
        textures: pairs of a scene and its labels to cut patches from; empty takes the bundled.
        seed: of everything random.
        tile_px: side of what is rendered at once; a multiple of 512.
        workers: threads.
    """

    off_nadir_deg: float = 25.0
    azimuth_deg: float = 0.0
    camera_height_m: float | None = None
    gsd_m: float = 0.3
    sun: Sun = field(default_factory=Sun)
    sensor: Sensor = field(default_factory=Sensor)
    jpeg_quality: int | None = 92
    errors: LabelErrors = field(default_factory=LabelErrors)
    fields: FieldNames = field(default_factory=FieldNames)
    layer: str | None = None
    extent: tuple[float, float, float, float] | None = None
    textures: tuple[tuple[Path, Path], ...] = ()
    seed: int = 0
    tile_px: int = 1024
    workers: int = 2

    def __post_init__(self) -> None:
        if self.tile_px < BLOCK_PX or self.tile_px % BLOCK_PX:
            raise UsageError(f"got tiles of {self.tile_px} px; expected a multiple of {BLOCK_PX}")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 100:
            raise UsageError(f"got a JPEG quality of {self.jpeg_quality}; expected 1 to 100")
        if self.workers < 1:
            raise UsageError(f"got {self.workers} workers; expected 1 or more")


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was written.

    Attributes:
        folder: where.
        width, height: of the image in pixels.
        structures: whose roofs are seen.
        hidden: structures in the image of which no roof is seen.
    """

    folder: Path
    width: int
    height: int
    structures: int
    hidden: int


def simulate_city(
    footprints: Path,
    folder: Path,
    options: SimulateOptions,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Simulated:
    """Render the buildings of a file.

    Args:
        footprints: polygons with heights.
        folder: to write; appears when all is complete.
        options: what to render.
        overwrite: replace a folder that an earlier run has written.
        progress: told of every tile.

    Raises:
        InputError: no heights, no CRS, no buildings; see `build_city`.
        UsageError: options out of range, or a camera below the roofs.
        OutputExistsError, OutputError: the folder cannot be written.
    """
    progress = progress or SilentProgress()
    import rasterio

    with _new_folder(folder, overwrite) as temporary:
        layer = read_layer(footprints, options.layer)
        city = build_city(layer, options.fields)
        grid = _image_grid(city, layer, options)
        view = _view(city, grid, options)
        outlines = grid.to_plane(city.polygons)
        world = World(city, outlines, grid.gsd_m, options.seed)
        patches = cut_patches(options.textures)
        renderer = Renderer(
            world,
            view,
            options.sun,
            Textures(patches, grid.gsd_m, options.seed),
            options.sensor,
            grid.gsd_m,
            options.seed,
        )
        with ThreadPoolExecutor(1, thread_name_prefix="truth") as beside:
            # GEOS computes while the renderer's threads wait for each other.
            projected = beside.submit(find_structures, city, outlines, view, grid.gsd_m)
            with output_errors(folder), rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
                seen_px = _write_rasters(temporary, renderer, grid, city, options, progress)
            structures = projected.result()
        progress.start("truth", 3)
        roofs = roofs_layer(city, grid, structures, seen_px, temporary / "instances.tif")
        labels = footprints_layer(city, grid, structures, options.errors, options.seed)
        layers = {
            "roofs": roofs,
            "tiers": tiers_layer(city, grid, structures),
            "footprints": labels,
            "tiles": _tiles_layer(grid, view),
        }
        settings = _settings(footprints, grid, options)
        for name, content in layers.items():
            write_layer(temporary / f"{name}.gpkg", content, name, {"simulate": settings})
            progress.advance()
        progress.finish()
        checksums = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
        record = json.dumps(settings | {"sha256": checksums}, indent=2, ensure_ascii=False)
        (temporary / _RECORD).write_text(record + "\n", encoding="utf-8")
    inside = shapely.intersects(structures.roofs, shapely.box(0, 0, grid.width, grid.height)).sum()
    count = len(roofs.polygons)
    return Simulated(folder, grid.width, grid.height, count, int(inside) - count)


def _image_grid(city: City, layer: Layer, options: SimulateOptions) -> ImageGrid:
    """The grid over the asked-for extent, or over all footprints."""
    if options.extent is None:
        west, south, east, north = shapely.total_bounds(city.polygons)
        bounds = (west - _MARGIN_M, south - _MARGIN_M, east + _MARGIN_M, north + _MARGIN_M)
    else:
        box = np.array([shapely.box(*options.extent)])
        bounds = tuple(shapely.total_bounds(project(box, layer.crs, city.crs)))
    return ImageGrid.over(city.crs, bounds, options.gsd_m)


def _view(city: City, grid: ImageGrid, options: SimulateOptions) -> View:
    if options.camera_height_m is None:
        return satellite(options.off_nadir_deg, options.azimuth_deg, grid.gsd_m)
    highest = float(city.top_m.max())
    if options.camera_height_m < 1.5 * highest + 20:
        raise UsageError(
            f"got a camera {options.camera_height_m:g} m above the ground over buildings of "
            f"{highest:g} m; expected at least {1.5 * highest + 20:.0f} m",
            hint="aerial cameras fly at 500 m and more above the roofs",
        )
    middle = (grid.width / 2, grid.height / 2)
    return frame_camera(
        options.off_nadir_deg, options.azimuth_deg, grid.gsd_m, options.camera_height_m, middle
    )


def _write_rasters(
    folder: Path,
    renderer: Renderer,
    grid: ImageGrid,
    city: City,
    options: SimulateOptions,
    progress: Progress,
) -> NDArray[np.int64]:
    """Render all tiles into files; returns how many pixels of each structure's roofs are seen."""
    import rasterio
    from rasterio.windows import Window as RasterWindow

    base = {
        "driver": "GTiff",
        "crs": rasterio.crs.CRS.from_wkt(grid.crs.to_wkt()),
        "transform": grid.transform,
        "width": grid.width,
        "height": grid.height,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "bigtiff": "IF_SAFER",
    }
    deflate = {"compress": "deflate", "zlevel": 1}
    zstd = {"compress": "zstd", "zstd_level": 1}
    picture = deflate | {"predictor": 2}
    if options.jpeg_quality is not None:
        picture = {"compress": "jpeg", "photometric": "ycbcr", "jpeg_quality": options.jpeg_quality}
    profiles = {
        "scene": {"count": 3, "dtype": "uint8", "interleave": "pixel", **picture},
        "roof": {"count": 1, "dtype": "uint8", **deflate},
        "facade": {"count": 1, "dtype": "uint8", **zstd},
        "instances": {"count": 1, "dtype": "int32", **zstd},
    }
    seen_px = np.zeros(city.structures + 1, np.int64)
    progress.start("rendering", grid.width * grid.height / 1e6)
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context(rasterio.open(folder / f"{name}.tif", "w", **base, **profile))
            for name, profile in profiles.items()
        }
        for window, tile in _render_all(renderer, grid, options):
            where = RasterWindow(window.col, window.row, window.width, window.height)
            numbers = tile.roof + 1
            files["scene"].write(tile.rgb, window=where)
            files["roof"].write((numbers > 0).astype(np.uint8), 1, window=where)
            files["facade"].write(tile.facade.astype(np.uint8), 1, window=where)
            files["instances"].write(numbers.astype(np.int32), 1, window=where)
            seen_px += np.bincount(numbers.ravel(), minlength=len(seen_px))
            progress.advance(window.pixels / 1e6)
    progress.finish()
    return seen_px[1:]


def _render_all(
    renderer: Renderer, grid: ImageGrid, options: SimulateOptions
) -> Iterator[tuple[Window, Rendered]]:
    """All tiles, rendered by a few threads, panel by panel."""
    waiting: deque[tuple[Window, Future[Rendered]]] = deque()
    pool = ThreadPoolExecutor(options.workers, thread_name_prefix="render")
    try:
        for window in _in_panels(grid, options.tile_px):
            waiting.append((window, pool.submit(renderer.render, window)))
            if len(waiting) > options.workers:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _in_panels(grid: ImageGrid, tile_px: int) -> list[Window]:
    """Windows that cover the grid: panels some tiles wide, down one and up the next."""
    rows, cols = math.ceil(grid.height / tile_px), math.ceil(grid.width / tile_px)
    wide = max(1, _PANEL_PX // tile_px)
    order = []
    for number, left in enumerate(range(0, cols, wide)):
        down = range(rows) if number % 2 == 0 else reversed(range(rows))
        order += [(i, j) for i in down for j in range(left, min(left + wide, cols))]
    windows = (Window(i * tile_px, j * tile_px, tile_px, tile_px) for i, j in order)
    return [shared for w in windows if (shared := w.intersection(grid.window)) is not None]


def _tiles_layer(grid: ImageGrid, view: View) -> Layer:
    """Squares of the image with the angles under which their middles are seen."""
    windows = windows_over(grid.window, BLOCK_PX)
    boxes = shapely.box(
        [w.col for w in windows],
        [w.row for w in windows],
        [w.col_stop for w in windows],
        [w.row_stop for w in windows],
    )
    x, y = shapely.get_coordinates(shapely.centroid(boxes)).T
    # How far a point one metre above the ground is seen from its foot gives both angles.
    over_x, over_y = view.to_ground(x, y, np.ones(len(x)))
    east, north = (over_x - x) * grid.gsd_m, (y - over_y) * grid.gsd_m
    fields: dict[str, NDArray[Any]] = {
        "off_nadir_deg": np.degrees(np.arctan(np.hypot(east, north))),
        "azimuth_deg": np.degrees(np.arctan2(east, north)) % 360,
    }
    return Layer(grid.crs, grid.to_crs(boxes), fields)


@contextlib.contextmanager
def _new_folder(final: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `final` that becomes it when the block ends well."""
    if not final.parent.is_dir():
        raise NotWritableError(
            f"got the output {final}, but the folder {final.parent} does not exist",
            hint="make the folder first or choose another output",
        )
    ours = (final / _RECORD).is_file()
    if final.exists() and not (overwrite and ours):
        if overwrite:
            raise OutputExistsError(
                f"the output {final} exists and holds no {_RECORD}: it is not a simulation",
                hint="choose another folder, or remove this one yourself",
            )
        raise OutputExistsError(
            f"the output {final} exists already", hint="use --overwrite or choose another name"
        )
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}")
    with output_errors(final):
        temporary.mkdir()
    try:
        yield temporary
        with output_errors(final):
            if final.exists():
                shutil.rmtree(final)
            temporary.replace(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _settings(footprints: Path, grid: ImageGrid, options: SimulateOptions) -> dict[str, Any]:
    """The run's settings, fit for JSON."""
    plain = dataclasses.asdict(options)
    # How the work was cut and shared leaves no trace in the outputs.
    del plain["tile_px"], plain["workers"]
    plain["textures"] = [[scene.name, labels.name] for scene, labels in options.textures]
    return plain | {
        "version": __version__,
        "footprints": footprints.name,
        "width": grid.width,
        "height": grid.height,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
