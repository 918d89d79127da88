"""Knowledge distillation: a teacher learns from the noisy labels, a student from it and clean ones.

Hinton, Vinyals & Dean 2015, for one logit per pixel and channel: teacher t and student s at
temperature T are Bernoulli distributions σ(z/T), and the student minimises

    (1 − w) · label loss + w · T² · KL(t ‖ s)

The factor T² keeps the gradient's size when T changes. As a baseline for domain adaptation from
misaligned labels: Xu et al., Remote Sensing 2022, 14(22), 5645.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from buildext.errors import UsageError
from buildext.learn.training.config import LossSection
from buildext.learn.training.engine.fit import fit
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.task import Losses, Task
from buildext.learn.training.engine.workshop import Workshop
from buildext.learn.training.methods.supervised import Supervised


def bernoulli_divergence(
    teacher: torch.Tensor, student: torch.Tensor, weight: torch.Tensor, temperature: float
) -> torch.Tensor:
    """T² · KL(σ(teacher/T) ‖ σ(student/T)), the mean over weighted pixels.

    Args:
        teacher: logits; no gradient flows into them.
        student: logits of the same shape.
        weight: of the same shape; all 0 gives 0.
        temperature: T.
    """
    target = teacher.detach() / temperature
    probability = torch.sigmoid(target)
    cross = F.binary_cross_entropy_with_logits(student / temperature, probability, reduction="none")
    # The entropy of the teacher, from logits, so that 0 · log 0 is 0.
    entropy = F.binary_cross_entropy_with_logits(target, probability, reduction="none")
    divergence = (cross - entropy) * weight
    return temperature**2 * divergence.sum() / weight.sum().clamp(min=1.0)


class Distillation(Task):
    """A student that listens to labels and to a teacher, who does not learn any more."""

    def __init__(
        self, student: Sight, teacher: Sight, options: LossSection, share: float, temperature: float
    ) -> None:
        super().__init__(student, options)
        # In a tuple the teacher is no submodule: neither saved nor averaged nor changed.
        self._teacher = (teacher.eval().requires_grad_(False),)
        self._share, self._temperature = share, temperature

    def forward(self, image: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> Losses:
        """See `Task.forward`."""
        logits = self.sight(image)
        with torch.no_grad():
            taught = self._teacher[0](image)
        losses = self.label_loss(logits, target, weight)
        # The teacher speaks of every channel wherever the building label counts.
        where = weight[:, :1].expand_as(logits)
        losses["distillation"] = bernoulli_divergence(taught, logits, where, self._temperature)
        losses["total"] = (1 - self._share) * losses["total"] + self._share * losses["distillation"]
        return losses


def train(shop: Workshop) -> Sight:
    """The teacher gets `method.noisy_share` of the steps, the student the rest.

    Raises:
        UsageError: the config has no `[teacher]`.
    """
    config, method = shop.config, shop.config.method
    if config.teacher is None:
        raise UsageError(
            "got the method 'kd' without a [teacher]; expected a network section of that name",
            hint='add [teacher] with encoder = "vgg19_bn", decoder = "unet", or another network',
        )
    teacher = shop.build(config.teacher)
    noisy_steps = round(method.noisy_share * config.schedule.steps)
    noisy = Phase("teacher", noisy_steps, shop.pool.scenes("noisy"), common=True)
    fit(shop, noisy, Supervised(teacher, config.loss))
    task = Distillation(shop.sight, teacher, config.loss, method.distillation, method.temperature)
    fit(
        shop, Phase("student", config.schedule.steps - noisy_steps, shop.pool.scenes("clean")), task
    )
    return shop.sight
