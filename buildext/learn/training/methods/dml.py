"""Deep mutual learning: peers that learn from the labels and from each other.

Zhang, Xiang, Hospedales & Lu (CVPR 2018): each of P networks minimises its own label loss plus the
mean divergence of its prediction from the others'; all of them move in the same step. No network
is better from the start; they differ in their random parts, and what they agree on is more often
right than what one of them believes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from buildext.learn.training.config import LossSection
from buildext.learn.training.engine.fit import fit
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.task import Losses, Task
from buildext.learn.training.engine.workshop import Workshop
from buildext.learn.training.methods.kd import bernoulli_divergence


class MutualLearning(Task):
    """The kept network and its peers."""

    def __init__(
        self,
        sight: Sight,
        others: Sequence[Sight],
        options: LossSection,
        share: float,
        temperature: float,
    ) -> None:
        super().__init__(sight, options)
        self.others = nn.ModuleList(others)
        self._share, self._temperature = share, temperature

    def forward(self, image: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> Losses:
        """See `Task.forward`; the parts of the kept network go by their own names."""
        logits = [sight(image) for sight in (self.sight, *self.others)]
        where = weight[:, :1].expand_as(logits[0])
        first = self.label_loss(logits[0], target, weight)
        total = first["total"]
        for other in logits[1:]:
            total = total + self.label_loss(other, target, weight)["total"]
        pairs = [(i, j) for i in range(len(logits)) for j in range(len(logits)) if i != j]
        mutual = torch.stack(
            [bernoulli_divergence(logits[j], logits[i], where, self._temperature) for i, j in pairs]
        ).sum() / (len(logits) - 1)
        return {**first, "mutual": mutual, "total": total + self._share * mutual}


def train(shop: Workshop) -> Sight:
    """All steps on the labels that `method.labels` names; the first peer is kept."""
    config, method = shop.config, shop.config.method
    others = [shop.build(config.teacher or config.network) for _ in range(method.peers - 1)]
    task = MutualLearning(shop.sight, others, config.loss, method.distillation, method.temperature)
    fit(shop, Phase("mutual", config.schedule.steps, shop.pool.scenes(method.labels)), task)
    return shop.sight
