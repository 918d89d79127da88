"""Accuracy: what `extract` makes of a scene in an arm, scored by `evaluate`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from buildext.benchmark.arms import Arm
from buildext.benchmark.scenes import LabelledScene
from buildext.evaluate import EvaluateOptions, Frame, evaluate_files
from buildext.extract.options import ExtractOptions, Outputs
from buildext.extract.pipeline import open_job, run

# Intervals are not shown here; a few draws keep evaluation quick.
RESAMPLES = 10


@dataclass(frozen=True, slots=True)
class Accuracy:
    """F1 of pixels, and of objects at IoU 0.5 where labels are single buildings."""

    pixel_f1: float
    object_f1: float | None


def options_of(arm: Arm, threads: int = 0) -> ExtractOptions:
    """The defaults of an extraction, in this arm."""
    return ExtractOptions(
        model=arm.source, engine=arm.engine, precision=arm.precision, threads=threads
    )


def accuracy(arm: Arm, scene: LabelledScene, threads: int = 0) -> Accuracy:
    """Extract a scene with the defaults and score it on the grid that was looked at.

    Raises:
        BuildextError: the scene or its labels cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="buildext-benchmark-") as folder:
        found = Path(folder) / "found.gpkg"
        with open_job([scene.image], options_of(arm, threads)) as job:
            run(job, Outputs(found))
            frame, window = job.frame, job.window
        grid = Frame.of(frame.crs, frame.transform, window.height, window.width, scene.name)
        options = EvaluateOptions(extent=grid, resamples=RESAMPLES)
        scores = evaluate_files(found, scene.labels, options)
    object_f1 = scores.objects.f1 if scene.are_objects else None
    return Accuracy(scores.pixels.f1 or 0.0, object_f1)
