"""One stretch of a training: some scenes, some steps, one way of moving the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.thaw import Thaw


@dataclass(frozen=True, slots=True)
class Phase:
    """What `fit` needs to know beside the task.

    Attributes:
        name: of its folder and in the log.
        steps: of the optimiser.
        scenes: where its tiles come from.
        rate: peak learning rate as a share of the config's.
        thaw: which parameters of the task's network move.
        common: other runs may go through the same phase; the task has no part but its network.
    """

    name: str
    steps: int
    scenes: Sequence[LabelledScene]
    rate: float = 1.0
    thaw: Thaw = field(default_factory=Thaw)
    common: bool = False
