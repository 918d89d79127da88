"""Hard examples: where the network as it is now errs in the scenes that it learns from.

The maps of a phase are kept beside its checkpoint, one file for each time of looking. A resumed run
draws from the same maps as one that was never interrupted, without looking again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import save_file

from buildext.atomic import atomic_path
from buildext.learn.training.config import SamplingSection
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.predict import middle_gsd_m, predict_scene
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.tiles.errors import ErrorMap, error_map


def errors_file(checkpoint: Path, step: int) -> Path:
    """Where the maps found after `step` steps of a phase are kept."""
    return checkpoint.parent / f"errors-{step:06d}.safetensors"


def find_errors(
    sight: Sight, scenes: Sequence[LabelledScene], options: SamplingSection
) -> dict[str, ErrorMap]:
    """The map of each scene, by its name, at the middle of the resolutions that are learned.

    Args:
        sight: put in evaluation mode here.
        scenes: with labels; nothing is looked for where the scene was erased or is not known.
        options: of the run.
    """
    maps = {}
    for scene in scenes:
        gsd_m = middle_gsd_m(scene, options)
        maps[scene.name] = error_map(scene, predict_scene(sight, scene, gsd_m), gsd_m)
    return maps


def save_errors(path: Path, maps: dict[str, ErrorMap]) -> None:
    """Write maps; `load_errors` gives them back."""
    sides = {name: repr(found.cell_px) for name, found in maps.items()}
    with atomic_path(path, overwrite=True) as temporary:
        save_file({name: found.wrong for name, found in maps.items()}, temporary, sides)


def load_errors(path: Path) -> dict[str, ErrorMap]:
    """Maps by the names of their scenes."""
    with safe_open(path, framework="numpy") as file:
        sides = file.metadata()
        return {name: ErrorMap(file.get_tensor(name), float(sides[name])) for name in sides}
