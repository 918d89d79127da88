"""Zero-cost proxies: what a network shows of its worth before it is trained.

Each is a number from one batch and random weights (Abdelfattah et al. 2021, arXiv 2101.08134):

- `grad_norm`: log of the length of the gradient of the loss;
- `snip`: log of Σ |θ · ∂L/∂θ|, how much the loss hangs on the weights (Lee et al. 2019);
- `jacob_cov`: whether different images move the outputs in different directions. The Jacobian has a
  row for each image, the gradient of the summed outputs by its pixels; the score is the sum of
  log(λ + k) + 1/(λ + k) over the eigenvalues λ of the rows' correlations, with the sign turned
  (Mellor et al. 2021, arXiv 2006.04647, first version);
- `log_macs` and `log_parameters`: size, which a proxy must beat to be worth its name.

None of them is believed. A search tells the rank correlation of each with the scores of its own
short trainings, and `estimate` uses as much of each as these support.
"""

from __future__ import annotations

import math

import torch

from buildext.learn.networks.build import build_network
from buildext.learn.search.work import Sketch
from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.losses import segmentation_loss
from buildext.learn.training.tiles.tensors import Batch
from buildext.models.card import NetworkSpec

JITTER = 1e-5
LEAST = 1e-12


def proxies_of(
    spec: NetworkSpec, sketch: Sketch, config: TrainingConfig, batch: Batch
) -> dict[str, float]:
    """All proxies of a network, the larger the better, if they are good for anything.

    Args:
        spec: the architecture; its weights are drawn by the config's seed.
        sketch: of the same network.
        config: its channels, loss and normalisation count.
        batch: as `tiles.as_tensors` gives tiles, stacked.

    Raises:
        ModelError: it cannot be built.
    """
    torch.manual_seed(config.seed)
    network = build_network(spec, config.network.channels)
    sight = Sight(network, config.network.normalisation(), torch.float32).train()
    images = batch["image"].float().requires_grad_(True)
    logits = sight(images)
    (rows,) = torch.autograd.grad(logits.sum(), images, retain_graph=True)
    losses = segmentation_loss(
        logits, batch["target"].float(), batch["weight"].float(), network.channels, config.loss
    )
    weights = list(network.parameters())
    gradients = torch.autograd.grad(losses["total"], weights, allow_unused=True)
    squares = saliency = 0.0
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is not None:
            squares += float(gradient.square().sum())
            saliency += float((gradient * weight.detach()).abs().sum())
    return {
        "grad_norm": 0.5 * math.log(squares + LEAST),
        "snip": math.log(saliency + LEAST),
        "jacob_cov": jacobian_score(rows.flatten(1)),
        "log_macs": math.log(sketch.macs),
        "log_parameters": math.log(sketch.parameters),
    }


def jacobian_score(rows: torch.Tensor) -> float:
    """How little the rows `(N, D)` are correlated; 0 or less is the most that can be had.

    N rows that are not correlated at all have N eigenvalues of 1, equal ones a single one of N.
    """
    rows = rows.double()
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / (rows.norm(dim=1, keepdim=True) + LEAST)
    values = torch.linalg.eigvalsh(rows @ rows.T).clamp(min=0)
    return -float((torch.log(values + JITTER) + 1 / (values + JITTER)).sum()) / len(rows)
