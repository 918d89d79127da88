"""A scene: one or many raster files, seen as one image on the pixel grid that the model wants.

The *model grid* has square pixels (on the ground) at a GSD that the model was trained on. Its upper
left corner is that of the *base plane*, the files at their native resolution; where the native
pixels already suit the model, both are the same. Every window of the model grid can be read, also
one that hangs over the edge: what lies outside, or is invalid, has the fill colour and is marked.

A scene may be read from several threads at once; each has its own file handles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from buildext.grid.window import Window
from buildext.scene.resample import Resampler
from buildext.scene.scaling import Stretch

if TYPE_CHECKING:
    from rasterio.crs import CRS
    from shapely.geometry.base import BaseGeometry

    from buildext.scene.options import SceneOptions
    from buildext.scene.plane import Plane


class Scene:
    """Made by `open_scene`; use as a context manager.

    Attributes:
        height: rows of the model grid.
        width: columns of the model grid.
        transform: model-grid pixel → CRS.
        crs: None with pixel units.
        gsd_m: metres on the ground per model pixel, at the scene's centre.
        native_gsd_m: the same of the first file's pixels.
        gsd_assumed: whether the GSD is not known but taken to be one that the model likes.
        valid_fraction: estimated share of the model grid that is valid.
    """

    def __init__(
        self,
        plane: Plane,
        stretch: Stretch,
        resampler: Resampler | None,
        options: SceneOptions,
        *,
        gsd_m: float,
        native_gsd_m: float,
        gsd_assumed: bool,
        valid_fraction: float,
    ) -> None:
        self._plane, self._stretch, self._resampler = plane, stretch, resampler
        self._count = options.n_bands
        self._fill = np.array(options.fill, np.uint8)
        self.gsd_m, self.native_gsd_m, self.gsd_assumed = gsd_m, native_gsd_m, gsd_assumed
        self.valid_fraction = valid_fraction
        self.crs: CRS | None = plane.crs
        if resampler is None:
            self.height, self.width = plane.height, plane.width
            self.transform = plane.transform
        else:
            self.height, self.width = resampler.height, resampler.width
            self.transform = plane.transform @ Affine.scale(
                resampler.scale_col, resampler.scale_row
            )

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files; no thread may be reading."""
        self._plane.close()

    @property
    def names(self) -> list[str]:
        """The files, in order of precedence."""
        return [p.source.name for p in self._plane.placed]

    @property
    def bands(self) -> tuple[int, ...]:
        """1-based bands read from the first file."""
        return self._plane.placed[0].source.colours

    @property
    def dtype(self) -> str:
        """Type of the pixels in the files."""
        return str(self._plane.dtype)

    @property
    def resampled(self) -> bool:
        """Whether the model grid differs from the native one."""
        return self._resampler is not None

    def describe(self) -> dict[str, Any]:
        """How the pixels were read, as plain values for the metadata of an output."""
        return {
            "bands": list(self.bands),
            "dtype": self.dtype,
            "scaling": self._stretch.describe(),
            "gsd_m": self.gsd_m,
            "native_gsd_m": self.native_gsd_m,
            "gsd_assumed": self.gsd_assumed,
            "resampled": self.resampled,
        }

    def read(
        self, window: Window, origin: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read any window of the model grid, also partly or wholly outside.

        Args:
            window: on the model grid.
            origin: `(H, W)` integers to be told which file each pixel comes from: its place in
                `names` plus 1 (of the pixels that were averaged the one in the middle counts), or 0
                where there is none.

        Returns:
            Pixels uint8 `(C, H, W)`, scaled, and validity `(H, W)`; the arrays are the caller's.

        Raises:
            SceneError: a file is damaged.
        """
        inside = window.intersection(Window(0, 0, self.height, self.width))
        if origin is not None and inside != window:
            origin[...] = 0
        if inside is None:
            return self._filled(window), np.zeros((window.height, window.width), np.bool_)
        slices = inside.shifted(-window.row, -window.col).slices
        pixels, valid = self._read_inside(inside, None if origin is None else origin[slices])
        if inside == window:
            if valid is None:
                valid = np.ones((window.height, window.width), np.bool_)
            return pixels, valid
        canvas = self._filled(window)
        mask = np.zeros((window.height, window.width), np.bool_)
        canvas[(slice(None), *slices)] = pixels
        mask[slices] = True if valid is None else valid
        return canvas, mask

    def covered(self, window: Window) -> Window | None:
        """The part of the window that the files' rectangles reach: a quick test, before reading.

        Returns:
            The smallest window outside of which no pixel of `window` is valid; None where no file
            touches it.
        """
        inside = window.intersection(Window(0, 0, self.height, self.width))
        if inside is None:
            return None
        if self._resampler is None:
            return self._plane.covered(inside)
        covered = self._plane.covered(self._resampler.base_window(inside))
        return None if covered is None else self._resampler.model_window(covered, inside)

    def window_of(self, bounds: tuple[float, float, float, float]) -> Window | None:
        """The smallest window that holds `bounds` (west, south, east, north, in the scene's CRS).

        Returns:
            None where the bounds lie outside the scene.
        """
        west, south, east, north = bounds
        corners = [(west, north), (east, north), (west, south), (east, south)]
        there = np.array([~self.transform @ corner for corner in corners])
        # Rounding noise must not add a row of pixels.
        slack = 1e-6
        col, row = (math.floor(v + slack) for v in there.min(axis=0))
        col_stop, row_stop = (math.ceil(v - slack) for v in there.max(axis=0))
        wanted = Window(row, col, row_stop - row, col_stop - col)
        return wanted.intersection(Window(0, 0, self.height, self.width))

    def rasterize(
        self, geometries: Sequence[BaseGeometry] | Iterable[BaseGeometry], window: Window
    ) -> NDArray[np.bool_]:
        """Pixels of `window` whose centres lie in any of `geometries` (in the scene's CRS)."""
        shapes = [(g, 1) for g in geometries if not g.is_empty]
        shape = (window.height, window.width)
        if not shapes:
            return np.zeros(shape, np.bool_)
        transform = self.transform @ Affine.translation(window.col, window.row)
        burnt: NDArray[np.uint8] = rasterize(
            shapes, out_shape=shape, transform=transform, dtype="uint8"
        )
        return burnt.astype(np.bool_)

    def _read_inside(
        self, window: Window, origin: NDArray[Any] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        if self._resampler is None:
            raw, valid = self._plane.read(window, origin)
        else:
            base = self._resampler.base_window(window)
            native = None if origin is None else np.zeros((base.height, base.width), origin.dtype)
            raw, valid = self._plane.read(base, native)
            raw, valid = self._resampler.apply(window, raw, valid)
            if origin is not None and native is not None:
                origin[...] = native[np.ix_(*self._resampler.nearest(window))]
                if valid is not None:
                    origin[~valid] = 0
        pixels = self._stretch.apply(raw)
        if len(pixels) < self._count:
            pixels = np.repeat(pixels, self._count, axis=0)
        if valid is not None:
            pixels = np.where(valid, pixels, self._fill[:, None, None])
        return np.ascontiguousarray(pixels), valid

    def _filled(self, window: Window) -> NDArray[np.uint8]:
        canvas = np.empty((self._count, window.height, window.width), np.uint8)
        canvas[...] = self._fill[:, None, None]
        return canvas
