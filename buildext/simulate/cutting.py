"""Cutting: patches of ground and roofs from real scenes, with the help of their labels.

A patch of ground is a square of 12 m without any labelled building in or near it, of which most is
of one sort by colour: green is vegetation, reddish bright is soil, grey is paved. A patch of a roof
is the largest square inside a labelled building, turned so that the building's longer side is
horizontal: the ribs of its roofing then run along the axes of whatever building it is laid on.

Patches are kept at 0.15 m; those of a drone are averaged, those of a satellite enlarged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from buildext.simulate.texture import Patches


def cut_patches(scenes: Sequence[tuple[Path, Path]]) -> Patches | None:
    """Cut patches from scenes; None where there is no scene."""
    return None
