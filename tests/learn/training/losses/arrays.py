"""Small random batches, and every loss that a config can ask for."""

from __future__ import annotations

from typing import NamedTuple, get_args

import numpy as np
import torch

from buildext.learn.training.config import LossSection
from buildext.learn.training.config.loss import Kind, Robust

OPTIONS = {
    **{kind: LossSection(kind=kind) for kind in get_args(Kind)},
    **{
        f"{kind}, {robust}": LossSection(kind=kind, robust=robust)
        for kind in ("bce", "bce+dice")
        for robust in get_args(Robust)
        if robust != "none"
    },
    "lovasz, per batch": LossSection(kind="lovasz", lovasz_per="batch"),
}


class Pixels(NamedTuple):
    """Logits, targets and weights `(N, H, W)` of one channel."""

    logits: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor


def draw(seed: int, *, soft: bool = False, dtype: torch.dtype = torch.float64) -> Pixels:
    """Three images of 4 x 5 pixels; about a third of the pixels has no weight."""
    rng = np.random.default_rng(seed)
    shape = (3, 4, 5)
    target = rng.uniform(size=shape) if soft else rng.integers(0, 2, shape)
    weight = rng.choice([0.0, 0.3, 1.0], shape)
    values = rng.normal(0, 2, shape), target, weight
    return Pixels(*(torch.from_numpy(np.asarray(v, np.float64)).to(dtype) for v in values))


def as_numpy(pixels: Pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, targets and weights of the pixels that have weight, flat."""
    logits, target, weight = (v.numpy().ravel() for v in pixels)
    used = weight > 0
    return 1 / (1 + np.exp(-logits[used])), target[used], weight[used]
