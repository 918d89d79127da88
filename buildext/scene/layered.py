"""Layers: several scenes on one model grid, seen as one image.

A scene has one pixel type and one stretch. Files of several sensors are several scenes; where all
of them share a model grid they can be laid on each other, and the first that is valid at a pixel
gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildext.grid.window import Window
from buildext.scene.scene import Scene

# Files lie in some parts of a large window and not in others; parts of about a file's size are
# mostly covered by one layer, and then the others need not be read there.
_PART_PX = 512


class LayeredScene:
    """Scenes of one model grid in order of precedence. Reading is safe from several threads."""

    def __init__(self, layers: Sequence[Scene], fill: tuple[int, ...]) -> None:
        """`fill`: colour of pixels that no layer has, as in `SceneOptions`."""
        self.layers = tuple(layers)
        self._fill = np.array(fill, np.uint8)

    def close(self) -> None:
        """Close all files; no thread may be reading."""
        for layer in self.layers:
            layer.close()

    @property
    def names(self) -> list[str]:
        """The files of all layers, in order of precedence."""
        return [name for layer in self.layers for name in layer.names]

    def read(
        self, window: Window, origin: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read any window of the model grid; see `Scene.read`, `origin` counts through all layers.

        Returns:
            Pixels uint8 `(C, H, W)`, scaled, and validity `(H, W)`.

        Raises:
            SceneError: a file is damaged.
        """
        pixels = np.empty((len(self._fill), window.height, window.width), np.uint8)
        pixels[...] = self._fill[:, None, None]
        valid = np.zeros((window.height, window.width), np.bool_)
        if origin is not None:
            origin[...] = 0
        for part in _parts(window):
            rows, cols = part.shifted(-window.row, -window.col).slices
            names = None if origin is None else origin[rows, cols]
            self._compose(part, pixels[:, rows, cols], valid[rows, cols], names)
        return pixels, valid

    def _compose(
        self,
        window: Window,
        pixels: NDArray[np.uint8],
        valid: NDArray[np.bool_],
        origin: NDArray[Any] | None,
    ) -> None:
        """Fill the pixels of a window, of which none is valid yet."""
        before = 0
        for layer in self.layers:
            if valid.all():
                return
            part = layer.covered(window)
            if part is not None:
                rows, cols = part.shifted(-window.row, -window.col).slices
                below = None if origin is None else np.zeros_like(origin[rows, cols])
                new, new_valid = layer.read(part, below)
                new_valid &= ~valid[rows, cols]
                np.copyto(pixels[:, rows, cols], new, where=new_valid)
                if origin is not None and below is not None:
                    # A pixel may be valid where the file in its middle is not.
                    known = new_valid & (below > 0)
                    origin[rows, cols][known] = below[known] + before
                valid[rows, cols] |= new_valid
            before += len(layer.names)


def _parts(window: Window) -> Iterator[Window]:
    """The window in parts of 512 px, row by row."""
    for row in range(window.row, window.row_stop, _PART_PX):
        for col in range(window.col, window.col_stop, _PART_PX):
            part = Window(row, col, _PART_PX, _PART_PX).intersection(window)
            assert part is not None  # it starts inside
            yield part
