"""Plain supervision: one phase, and each label is believed."""

from __future__ import annotations

import torch

from buildext.learn.training.engine.fit import fit
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.task import Losses, Task
from buildext.learn.training.engine.workshop import Workshop


class Supervised(Task):
    """A network and its labels."""

    def forward(self, image: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> Losses:
        """See `Task.forward`."""
        return self.label_loss(self.sight(image), target, weight)


def train(shop: Workshop) -> Sight:
    """Learn from the labels that `method.labels` names: noisy, clean, or all of them."""
    labels = shop.config.method.labels
    scenes = shop.pool.scenes(labels)
    fit(
        shop,
        Phase(labels, shop.config.schedule.steps, scenes),
        Supervised(shop.sight, shop.config.loss),
    )
    return shop.sight
