"""Choosing the lattice of a mosaic from the files that it is first made of.

The pixels of most files should come through untouched, so the lattice follows *their* pixel grid:
the CRS in which most pixels lie, and in it the pixel size of most files. That native grid is the
*base*; the model grid has pixels of the GSD that the model wants and shares its origin with the
base, as in a scene. Files on the base are read as they are and averaged or interpolated exactly;
all others are warped onto the model grid.

The origin lies a thousand blocks to the north-west of the first files, so that files added later
have room on every side and move nothing that is done.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import array_bounds
from rasterio.warp import transform_bounds

from buildext.errors import UsageError
from buildext.grid.window import Window
from buildext.mosaic.grid import FIRST_BLOCK, LATTICE_PX, MosaicGrid
from buildext.scene.gsd import is_square, pixel_size_m, target_gsd_m
from buildext.scene.placing import place_one
from buildext.scene.resample import Resampler
from buildext.scene.source import Source

# Pixel sizes that agree in so many digits are one.
_DIGITS = 7


@dataclass(frozen=True, slots=True)
class Base:
    """The native grid under the model grid; both have one origin.

    Attributes:
        transform: base pixel → CRS; north-up.
        scale_row, scale_col: base pixels per model pixel.
    """

    transform: Affine
    scale_row: float
    scale_col: float

    @property
    def is_model(self) -> bool:
        """Whether base pixels are model pixels."""
        return self.scale_row == self.scale_col == 1

    def resampler(self) -> Resampler | None:
        """From the base to the model grid, without end."""
        if self.is_model:
            return None
        height, width = (math.ceil(LATTICE_PX * s) for s in (self.scale_row, self.scale_col))
        return Resampler(height, width, self.scale_row, self.scale_col)

    def to_model(self, window: Window) -> Window:
        """The model pixels that a window of base pixels reaches."""
        row, col = math.floor(window.row / self.scale_row), math.floor(window.col / self.scale_col)
        row_stop = math.ceil(window.row_stop / self.scale_row)
        col_stop = math.ceil(window.col_stop / self.scale_col)
        return Window(row, col, row_stop - row, col_stop - col)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked of a lattice; where it is the same as before, the lattice stays as it is.

    Attributes:
        crs: name of a CRS, or None for that of most pixels.
        gsd_m: GSD that is forced, or None.
        gsd_range_m: GSD that the model knows.
        tile_px, overlap_px: tiles.
        block_px: wished side of a block.
        channels: of the model.
    """

    crs: str | None
    gsd_m: float | None
    gsd_range_m: tuple[float, float]
    tile_px: int
    overlap_px: int
    block_px: int
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lattice:
    """A grid and the base under it."""

    grid: MosaicGrid
    base: Base

    def to_json(self) -> dict[str, Any]:
        """The lattice as plain values, for the ledger."""
        return {
            "grid": {**asdict(self.grid), "transform": list(self.grid.transform[:6])},
            "base": {**asdict(self.base), "transform": list(self.base.transform[:6])},
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Lattice:
        """The lattice that `to_json` gave."""
        grid = dict(values["grid"], transform=Affine(*values["grid"]["transform"]))
        base = dict(values["base"], transform=Affine(*values["base"]["transform"]))
        return cls(MosaicGrid(**{**grid, "channels": tuple(grid["channels"])}), Base(**base))


def choose_lattice(sources: Sequence[Source], wish: Wish) -> Lattice:
    """Choose CRS, pixel size and origin.

    Args:
        sources: readable files in order of precedence.
        wish: what the user and the model ask for.

    Raises:
        UsageError: the wished CRS is unknown or not projected.
        NoCrsError, SceneError: the files cannot be placed in that CRS.
    """
    crs = _wished_crs(wish.crs) if wish.crs else _common_crs(sources)
    bounds = _bounds(sources, crs)
    native = _native_base(sources, crs, bounds, wish)
    base, gsd_m = native or _plain_base(sources[0], crs, bounds, wish)
    stride_px = wish.tile_px - wish.overlap_px
    cells = max(1, round(wish.block_px / stride_px))
    # The first pixel lies an overlap inside its cell: the tile before does not reach it.
    first_px = FIRST_BLOCK * cells * stride_px + wish.overlap_px
    corner = base.transform @ Affine.translation(*_upper_left(sources, base, crs))
    origin = corner @ Affine.translation(
        -math.ceil(first_px * base.scale_col), -math.ceil(first_px * base.scale_row)
    )
    grid = MosaicGrid(
        crs_wkt=crs.to_wkt(),
        transform=origin @ Affine.scale(base.scale_col, base.scale_row),
        gsd_m=gsd_m,
        tile_px=wish.tile_px,
        overlap_px=wish.overlap_px,
        block_cells=cells,
        channels=wish.channels,
    )
    return Lattice(grid, Base(origin, base.scale_row, base.scale_col))


def _wished_crs(name: str) -> CRS:
    try:
        crs = CRS.from_user_input(name)
    except CRSError as error:
        raise UsageError(f"got the CRS {name!r}; expected one such as EPSG:32737") from error
    if not crs.is_projected:
        raise UsageError(
            f"got the CRS {name!r}, which is not projected; expected one in metres",
            hint="choose the UTM zone of the place, such as EPSG:32737",
        )
    return crs


def _common_crs(sources: Sequence[Source]) -> CRS:
    """The CRS of most pixels; where that is in degrees, the UTM zone of their middle."""
    pixels: Counter[str] = Counter()
    for source in sources:
        assert source.crs is not None  # the survey lets none without pass
        pixels[source.crs.to_wkt()] += source.height * source.width
    crs = CRS.from_wkt(max(sorted(pixels), key=lambda wkt: pixels[wkt]))
    if crs.is_projected:
        return crs
    west, south, east, north = transform_bounds(crs, "OGC:CRS84", *_bounds(sources, crs))
    lon, lat = (west + east) / 2, (south + north) / 2
    zone = min(60, max(1, math.floor((lon + 180) / 6) + 1))
    return CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)


def _bounds(sources: Sequence[Source], crs: CRS) -> tuple[float, float, float, float]:
    boxes = []
    for source in sources:
        box = array_bounds(source.height, source.width, source.transform)
        boxes.append(box if source.crs == crs else transform_bounds(source.crs, crs, *box))
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


def _native_base(
    sources: Sequence[Source], crs: CRS, bounds: tuple[float, float, float, float], wish: Wish
) -> tuple[Base, float] | None:
    """The pixel grid of most of the files that are north-up in the CRS, with the model's GSD.

    None where no file is north-up in the CRS.
    """
    pixels: Counter[tuple[float, float]] = Counter()
    first: dict[tuple[float, float], Source] = {}
    for source in sources:
        a, b, _, d, e, _ = source.transform[:6]
        if source.crs == crs and b == d == 0 and a > 0 > e:
            size = (float(f"{a:.{_DIGITS}g}"), float(f"{e:.{_DIGITS}g}"))
            pixels[size] += source.height * source.width
            first.setdefault(size, source)
    if not pixels:
        return None
    reference = first[max(sorted(pixels), key=lambda size: pixels[size])].transform
    size_m = _size_m(reference, crs, bounds)
    gsd_m = target_gsd_m(size_m, wish.gsd_range_m, wish.gsd_m)
    if gsd_m == math.sqrt(size_m[0] * size_m[1]) and is_square(size_m):
        return Base(reference, 1.0, 1.0), gsd_m
    return Base(reference, gsd_m / size_m[1], gsd_m / size_m[0]), gsd_m


def _plain_base(
    source: Source, crs: CRS, bounds: tuple[float, float, float, float], wish: Wish
) -> tuple[Base, float]:
    """A north-up grid of square pixels at the GSD that suits the first file, and that GSD."""
    native_m = pixel_size_m(source.transform, source.crs, source.width / 2, source.height / 2)
    gsd_m = target_gsd_m(native_m, wish.gsd_range_m, wish.gsd_m)
    unit = Affine(1, 0, bounds[0], 0, -1, bounds[3])
    unit_m = _size_m(unit, crs, bounds)
    return Base(unit @ Affine.scale(gsd_m / unit_m[0], gsd_m / unit_m[1]), 1.0, 1.0), gsd_m


def _size_m(
    transform: Affine, crs: CRS, bounds: tuple[float, float, float, float]
) -> tuple[float, float]:
    """Width and height of a pixel in the middle of the bounds."""
    middle = ~transform @ ((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2)
    return pixel_size_m(transform, crs, *middle)


def _upper_left(sources: Sequence[Source], base: Base, crs: CRS) -> tuple[int, int]:
    """First column and row of base pixels that any file covers."""
    windows = [place_one(source, base.transform, crs).window for source in sources]
    return min(w.col for w in windows), min(w.row for w in windows)
