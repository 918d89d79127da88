"""Layers: several scenes on one model grid, seen as one image.

A scene has one pixel type and one stretch. Files of several sensors are several scenes; where all
of them share a model grid they can be laid on each other, and the first that is valid at a pixel
gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildext.grid.window import Window
from buildext.scene.scene import Scene


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
        before = 0
        for layer in self.layers:
            if not layer.empty(window) and not valid.all():
                below = None if origin is None else np.zeros_like(origin)
                new, new_valid = layer.read(window, below)
                new_valid &= ~valid
                np.copyto(pixels, new, where=new_valid)
                if origin is not None and below is not None:
                    # A pixel may be valid where the file in its middle is not.
                    known = new_valid & (below > 0)
                    origin[known] = below[known] + before
                valid |= new_valid
            before += len(layer.names)
        return pixels, valid
