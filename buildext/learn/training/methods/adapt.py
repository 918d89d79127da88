"""Adaptation to one place: a few labels, and the model's own opinion of everything else.

A model that learns from twenty buildings forgets thousands, unless something holds it. Two things
do here. Where nothing was drawn, the network is asked to see what it saw before (learning without
forgetting, Li & Hoiem, TPAMI 2018: distillation from the network as it was, on the images at hand;
changes of colour and scale make them stand for others, too). And the statistics of its batch
normalisation stay those of the large training: a batch of one place says little about the world.

    loss of the labels, where they are known  +  w · T² · KL(before ‖ now), where they are not
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from buildext.learn.training.config import LossSection
from buildext.learn.training.engine.fit import fit
from buildext.learn.training.engine.levels import parameter_levels
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.task import Losses, Task
from buildext.learn.training.engine.thaw import Thaw
from buildext.learn.training.engine.workshop import Workshop
from buildext.learn.training.methods.kd import bernoulli_divergence
from buildext.learn.training.methods.rehearsal import SHEET_NAME, read_sheet
from buildext.models.store import load_model

SEAM_WEIGHT = 20.0


class Adaptation(Task):
    """A network and itself as it was before."""

    def __init__(
        self,
        sight: Sight,
        options: LossSection,
        weight: float,
        temperature: float,
        rehearsal: torch.Tensor | None = None,
    ) -> None:
        super().__init__(sight, options)
        self._rehearsal = rehearsal
        before = copy.deepcopy(sight).eval().requires_grad_(False)
        # In a tuple it is no submodule: neither saved nor averaged nor changed.
        self._before = (before,)
        self._weight, self._temperature = weight, temperature

    def forward(self, image: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> Losses:
        """See `Task.forward`."""
        logits = self.sight(image)
        losses = self.label_loss(logits, target, weight)
        if not self._weight:
            return losses
        with torch.no_grad():
            before = self._before[0](image)
        # A channel that the labels say nothing about is held everywhere.
        losses["memory"] = bernoulli_divergence(before, logits, 1.0 - weight, self._temperature)
        losses["total"] = losses["total"] + self._weight * losses["memory"]
        if self._rehearsal is not None:
            losses["rehearsal"] = self._rehearse(self._rehearsal, len(image))
            losses["total"] = losses["total"] + self._weight * losses["rehearsal"]
        return losses

    def _rehearse(self, tiles: torch.Tensor, count: int) -> torch.Tensor:
        """How far the network has moved on some tiles of its past, drawn at random."""
        past = tiles[torch.randint(len(tiles), (count,))].to(self.sight.mean.device)
        with torch.no_grad():
            before = self._before[0](past)
        # Seams are few pixels; without a weight of their own the mean would forget them.
        weight = 1.0 + SEAM_WEIGHT * torch.sigmoid(before)
        weight[:, 0] = 1.0
        return bernoulli_divergence(before, self.sight(past), weight, self._temperature)


@dataclass(frozen=True, slots=True)
class Still(Thaw):
    """Another thaw, under which no statistics of batch normalisation move."""

    def apply(self, network: nn.Module, first_open: int) -> None:
        """See `Thaw.apply`."""
        Thaw.apply(self, network, first_open)
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def train(shop: Workshop) -> Sight:
    """All steps on all labels, under the plan of `method.unfreeze`."""
    method = shop.config.method
    shop.sight.to(shop.device)
    levels: Mapping[str, int] = {}
    if method.unfreeze != "full":
        levels = parameter_levels(shop.sight.network)
    thaw = Still(method.unfreeze, levels, method.depth_decay)
    past = None
    if shop.config.start:
        sheet = load_model(shop.config.start).files / SHEET_NAME
        past = read_sheet(sheet) if sheet.exists() else None
    task = Adaptation(shop.sight, shop.config.loss, method.distillation, method.temperature, past)
    scenes = shop.pool.scenes("all")
    fit(shop, Phase("adapt", shop.config.schedule.steps, scenes, thaw=thaw), task)
    return shop.sight
