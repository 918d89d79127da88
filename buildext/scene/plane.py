"""The base plane: all files of a scene on one pixel grid, at its native resolution.

The first file sets the grid, which is then extended to take in the others. A file whose pixels fall
on that grid is read as it is; any other (shifted by part of a pixel, of another size, turned, in
another CRS, placed by control points) is seen through GDAL's warper, onto the same grid. Where
files overlap, the first that is valid at a pixel gives it.

Only files that touch a window are opened for it, and few are kept open (`handles`).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling

from buildext.errors import SceneError
from buildext.grid.window import Window
from buildext.scene.access import GDAL_ERRORS, gdal, open_raster, read_error
from buildext.scene.handles import Handle, Handles
from buildext.scene.source import Source, upright_view, warped_view

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.crs import CRS
    from rasterio.vrt import WarpedVRT


@dataclass(frozen=True, slots=True)
class Placed:
    """A file and the window of the base plane that it covers.

    `resampling` is None where the file's pixels are those of the plane.
    """

    source: Source
    window: Window
    resampling: Resampling | None


class Plane:
    """Files on one grid. Reading is safe from several threads."""

    def __init__(
        self,
        placed: tuple[Placed, ...],
        height: int,
        width: int,
        transform: Affine,
        crs: CRS | None,
        allow_remote: bool,
        handles: Handles | None = None,
    ) -> None:
        """`handles`: shared by planes that are read and closed together."""
        self.placed = placed
        self.height, self.width = height, width
        self.transform, self.crs = transform, crs
        self.channels = placed[0].source.channels
        self.dtype = np.dtype(placed[0].source.dtype)
        self._allow_remote = allow_remote
        self._edges = np.array(
            [(p.window.row, p.window.row_stop, p.window.col, p.window.col_stop) for p in placed]
        ).T
        self._handles = Handles() if handles is None else handles

    def touching(self, window: Window) -> list[int]:
        """Indices of the files whose windows meet `window`, in order of precedence."""
        row, row_stop, col, col_stop = self._edges
        meets = (row < window.row_stop) & (row_stop > window.row)
        meets &= (col < window.col_stop) & (col_stop > window.col)
        return [int(i) for i in np.flatnonzero(meets)]

    def covered(self, window: Window) -> Window | None:
        """The smallest window that holds what the files' windows share with `window`, or None."""
        indices = self.touching(window)
        if not indices:
            return None
        row, row_stop, col, col_stop = self._edges[:, indices]
        row_min, col_min = int(row.min()), int(col.min())
        height, width = int(row_stop.max()) - row_min, int(col_stop.max()) - col_min
        return window.intersection(Window(row_min, col_min, height, width))

    def read(
        self, window: Window, origin: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Read any window.

        Args:
            window: on the plane.
            origin: `(H, W)` integers to be told where each pixel comes from: the index in `placed`
                plus 1, or 0 where no file is valid.

        Returns:
            Pixels `(C, H, W)` in the files' dtype (0 where no file is valid), and validity `(H, W)`
            or None where every pixel is valid.

        Raises:
            SceneError: a file is damaged.
        """
        indices = self.touching(window)
        with gdal(self._allow_remote):
            if len(indices) == 1 and window.intersection(self.placed[indices[0]].window) == window:
                pixels, whole = self._read_one(indices[0], window)
                if origin is not None:
                    origin[...] = indices[0] + 1 if whole is None else whole * (indices[0] + 1)
                return pixels, whole
            pixels = np.zeros((self.channels, window.height, window.width), self.dtype)
            valid = np.zeros((window.height, window.width), np.bool_)
            if origin is not None:
                origin[...] = 0
            for index in indices:
                part = window.intersection(self.placed[index].window)
                assert part is not None  # it touches
                rows, cols = part.shifted(-window.row, -window.col).slices
                missing = ~valid[rows, cols]
                if not missing.any():
                    continue
                new, new_valid = self._read_one(index, part)
                if new_valid is not None:
                    missing &= new_valid
                if missing.all():
                    pixels[:, rows, cols] = new
                else:
                    np.copyto(pixels[:, rows, cols], new, where=missing)
                valid[rows, cols] |= missing
                if origin is not None:
                    origin[rows, cols][missing] = index + 1
        return pixels, valid

    def close(self) -> None:
        """Close the handles of all threads; no thread may be reading."""
        self._handles.close()

    def _read_one(
        self, index: int, window: Window
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        placed = self.placed[index]
        try:
            dataset = self._handles.get((id(self), index), partial(self._opened, placed))
            return placed.source.read(
                dataset, window.shifted(-placed.window.row, -placed.window.col)
            )
        except GDAL_ERRORS as error:
            raise read_error(placed.source.name, error) from error

    def _opened(self, placed: Placed) -> Handle:
        source = placed.source
        located = source.crs is not None
        with ExitStack() as stack:
            try:
                dataset = stack.enter_context(
                    open_raster(source.name, self._allow_remote, expect_georeference=located)
                )
            except SceneError as error:
                # It could be opened before.
                raise read_error(source.name, error) from error
            if source.upright:
                dataset = stack.enter_context(
                    upright_view(dataset, source.palette is not None, source.warp_nodata)
                )
            if placed.resampling is not None:
                dataset = stack.enter_context(_on_plane(dataset, placed, self.transform, self.crs))
            return Handle(stack.pop_all(), dataset)


def _on_plane(
    dataset: DatasetReader | WarpedVRT, placed: Placed, base: Affine, crs: CRS | None
) -> WarpedVRT:
    """The part of the base plane that `placed` covers, as a dataset with an alpha band."""
    source = placed.source
    return warped_view(
        dataset,
        crs=crs,
        transform=base @ Affine.translation(placed.window.col, placed.window.row),
        width=placed.window.width,
        height=placed.window.height,
        resampling=placed.resampling,
        # A view that is upright already has folded nodata into its alpha band.
        src_nodata=None if source.upright else source.warp_nodata,
        add_alpha=source.alpha is None and not source.upright,
    )
