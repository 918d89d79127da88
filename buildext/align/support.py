"""Support: what a label learns from its neighbours about its own shift.

A house alone in a dense block fits many roofs. But near houses err alike: they were drawn over the
same image, and lean the same way, if not equally far. So each label holds a probability for every
shift, and asks its neighbours:

    p_i(t) ∝ exp(λ·√A_i·score_i(t)) · prior_i(t)
    prior_i(t) = Π_j [(1 - s) · (G * p_j)(t) + s · u] ^ w_ij

G is a Gaussian as wide as near neighbours differ, s the share of neighbours that tell nothing, u
the uniform distribution. The weights w_ij fall with distance, and their sum is bounded: twenty
neighbours are not twenty independent witnesses. In the first round p_j is what j sees itself; in
later rounds what it learnt in the one before (a mean-field iteration with damped weights). Who is
farther than rounds · 2 · support_m has no influence at all, so a city can be treated in parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.sparse
import scipy.spatial
from numpy.typing import NDArray

from buildext.align.options import AlignOptions

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Belief:
    """Probabilities over shifts, each array `(n, S, S)`.

    Attributes:
        probability: sums to one for each label.
        log_prior: what the neighbours say, up to a constant; 0 everywhere without neighbours.
    """

    probability: Floats
    log_prior: Floats


def influence_m(options: AlignOptions) -> float:
    """Distance beyond which labels cannot influence each other."""
    return options.rounds * 2 * options.support_m


def believe(
    log_fit: Floats,
    allowed: NDArray[np.bool_],
    middles_m: NDArray[np.float64],
    step_m: float,
    options: AlignOptions,
) -> Belief:
    """Let labels agree on their shifts.

    Args:
        log_fit: `(n, S, S)` how well each shift fits each label, in nats.
        allowed: `(S, S)` shifts that are short enough.
        middles_m: `(n, 2)` where the labels lie.
        step_m: distance between shifts.
        options: see `AlignOptions`.
    """
    own = np.where(allowed, log_fit, np.float32(-np.inf))
    probability = _normalised(own)
    log_prior = np.zeros_like(own)
    weights = _weights(middles_m, options)
    uniform = options.stray / np.count_nonzero(allowed)
    for _ in range(options.rounds):
        said = np.empty_like(probability)
        for i, one in enumerate(probability):
            wide = scipy.ndimage.gaussian_filter(
                one, options.agreement_m / step_m, mode="constant", truncate=3
            )
            said[i] = np.log((1 - options.stray) * wide + uniform)
        log_prior = (weights @ said.reshape(len(said), -1)).reshape(own.shape)
        probability = _normalised(own + log_prior)
    return Belief(probability, log_prior)


def _weights(middles_m: NDArray[np.float64], options: AlignOptions) -> scipy.sparse.csr_array:
    """`(n, n)` how much label i listens to label j."""
    tree = scipy.spatial.cKDTree(middles_m)
    pairs = tree.query_pairs(2 * options.support_m, output_type="ndarray")
    i, j = np.concatenate([pairs, pairs[:, ::-1]]).T
    squared = ((middles_m[i] - middles_m[j]) ** 2).sum(axis=1)
    weight = np.exp(-squared / (2 * options.support_m**2))
    total = np.bincount(i, weight, minlength=len(middles_m))
    weight *= np.minimum(1, options.support_weight / total[i])
    shape = (len(middles_m), len(middles_m))
    return scipy.sparse.csr_array((weight.astype(np.float32), (i, j)), shape=shape)


def _normalised(log: Floats) -> Floats:
    probability: Floats = np.exp(log - log.max(axis=(1, 2), keepdims=True))
    probability /= probability.sum(axis=(1, 2), keepdims=True)
    return probability
