"""Backdrops: the pixels that pictures are drawn on, with the image under them where there is one.

The ground plane of an evaluation and the pixels of an image are different planes: the files may
have different CRS, and the image any grid. Outlines are brought to the image, not the image to the
outlines, so that nothing is resampled and what is shown is what was photographed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from buildext.errors import InputError
from buildext.evaluate.frame import Frame
from buildext.grid.window import Window

if TYPE_CHECKING:
    from buildext.scene import Scene

Picture = NDArray[np.uint8]

# Finer pixels than this show nothing more of a building.
FINEST_M = 0.1
_COARSEST_M = 1e4
# Pixels of the file read at once: many of them may stand behind one pixel of a coarse picture.
_READ_PX = 2**24


class Backdrop:
    """Pixels over a frame; use as a context manager.

    Args:
        frame: of the evaluation.
        images: files of the image; none leaves the ground blank.
        pixel_m: size of the pixels on the ground; None takes the image's own, at least `FINEST_M`.

    Attributes:
        area: the pixels that cover the frame.
        pixel_m: their size on the ground.
        has_image: whether there is an image.

    Raises:
        InputError: the image lies somewhere else, or cannot be read (see `open_scene`).
    """

    def __init__(self, frame: Frame, images: Sequence[Path], pixel_m: float | None = None) -> None:
        self._frame = frame
        self._scene: Scene | None = None
        self.has_image = bool(images)
        if not images:
            self.pixel_m = pixel_m or max(FINEST_M, *frame.pixel_xy_m)
            wide, high = (math.ceil(side / self.pixel_m) for side in frame.extent_xy_m)
            self.area = Window(0, 0, max(1, high), max(1, wide))
            return
        from buildext.scene import SceneOptions, open_scene

        options = SceneOptions(gsd_range_m=(FINEST_M, _COARSEST_M), gsd_m=pixel_m)
        scene = open_scene(images, options)
        self._scene, self.pixel_m = scene, scene.gsd_m
        assert scene.crs is not None  # without pixel units, no scene is opened that has none
        crs = pyproj.CRS.from_user_input(scene.crs)
        same = crs == frame.crs
        self._project = (
            None if same else pyproj.Transformer.from_crs(frame.crs, crs, always_xy=True)
        )
        west, north, east, south = self.to_pixels(np.array([frame.box], dtype=object))[0].bounds
        row, col = math.floor(north), math.floor(west)
        wanted = Window(row, col, math.ceil(south) - row, math.ceil(east) - col)
        area = wanted.intersection(Window(0, 0, scene.height, scene.width))
        if area is None:
            scene.close()
            raise InputError(
                f"{images[0]} does not show the scored extent ({frame.source})",
                hint="give the image that the buildings were drawn on",
            )
        self.area = area

    def __enter__(self) -> Backdrop:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._scene is not None:
            self._scene.close()

    def to_pixels(self, polygons: NDArray[np.object_]) -> NDArray[np.object_]:
        """Polygons of the ground plane in pixels of the backdrop: x along columns, y down rows."""
        if len(polygons) == 0:
            return polygons
        if self._scene is None:
            scaled: NDArray[np.object_] = shapely.transform(polygons, lambda xy: xy / self.pixel_m)
            return scaled
        inverse = ~self._scene.transform
        project = self._project

        def bring(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            x, y = xy.T
            if project is not None:
                x, y = project.transform(x, y)
            return np.column_stack(
                [
                    inverse.a * x + inverse.b * y + inverse.c,
                    inverse.d * x + inverse.e * y + inverse.f,
                ]
            )

        moved: NDArray[np.object_] = shapely.transform(self._frame.from_plane(polygons), bring)
        return moved

    def read(self, window: Window) -> Picture | None:
        """The image in a window, `(h, w, 3)` RGB; None without an image."""
        if self._scene is None:
            return None
        picture = np.empty((window.height, window.width, 3), np.uint8)
        behind = window.width * max(1.0, self._scene.gsd_m / self._scene.native_gsd_m) ** 2
        step = max(1, int(_READ_PX / behind))
        for start in range(0, window.height, step):
            rows = min(step, window.height - start)
            pixels, _ = self._scene.read(Window(window.row + start, window.col, rows, window.width))
            picture[start : start + rows] = pixels.transpose(1, 2, 0)
        return picture
