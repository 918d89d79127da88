"""Pixels in: files of any kind become one image on the grid, and in the numbers, a model knows."""

from __future__ import annotations

from buildext.scene.open import open_scene
from buildext.scene.options import SceneOptions
from buildext.scene.scene import Scene

__all__ = ["Scene", "SceneOptions", "open_scene"]
