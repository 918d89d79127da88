"""The estimate: what a short training would say, from those that were done.

A ridge regression from the zero-cost proxies and from the share of the work in each kind of part to
the score. How strongly it is held back is chosen by leave-one-out errors, which a linear model has
for nothing (the residual over one minus its leverage). What the estimate is worth is told by the
rank correlation of these left-out predictions with the scores: each is of a network that the
estimate did not know.

Where too few networks are known, or the left-out errors are no less than those of a plain mean,
nothing of this is believed. Then the larger of two networks is held to be a little better: were
all held to be equal, the smallest would always be chosen, for it costs least.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, spearmanr

from buildext.learn.search.work import Works

LEAST_TRAINED = 5
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
SHARE = "share of "
SIZE = "log_macs"
# In doubt: what one standard deviation more of the size brings, and a size to begin with.
DOUBT_EFFECT = 0.02
DOUBT_CENTRE = (math.log(5e8), 0.7)

Features = dict[str, float]
Floats = NDArray[np.float64]


def features_of(proxies: Mapping[str, float], works: Works) -> Features:
    """What the estimate looks at."""
    whole = sum(work.dense + work.product for work in works.values())
    shares = {f"{SHARE}{k}": (w.dense + w.product) / whole for k, w in works.items()}
    return {**proxies, **shares}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fitted regression.

    Attributes:
        mean: of the scores.
        effects: by feature, what one standard deviation more brings.
        centres: mean and standard deviation of each feature.
        trained: how many networks it was fitted to.
        rank_correlation: Spearman's, of left-out predictions with scores; nan where nothing could
            be learnt.
    """

    mean: float
    effects: Features
    centres: Mapping[str, tuple[float, float]]
    trained: int
    rank_correlation: float

    @property
    def believed(self) -> bool:
        """Whether it was learnt, and helps with networks that it does not know."""
        return not math.isnan(self.rank_correlation)

    def predict(self, features: Features) -> float:
        """The score that is expected, 0 to 1."""
        total = self.mean
        for name, effect in self.effects.items():
            centre, spread = self.centres[name]
            total += effect * (features.get(name, 0.0) - centre) / spread
        return min(max(total, 0.0), 1.0)


def fit_estimate(known: Sequence[tuple[Features, float]]) -> Estimate:
    """Fit features to scores.

    With too few of them, or where they help nothing with networks that are left out, size decides.
    """
    scores = np.array([score for _, score in known])
    mean = float(scores.mean()) if known else 0.5
    if len(known) < LEAST_TRAINED:
        return _doubt(mean, known)
    names = sorted({name for features, _ in known for name in features})
    rows = np.array([[features.get(name, 0.0) for name in names] for features, _ in known])
    spread = rows.std(axis=0)
    varied = [i for i in range(len(names)) if spread[i] > 1e-9]
    names = [names[i] for i in varied]
    centre, spread = rows.mean(axis=0)[varied], spread[varied]
    table = (rows[:, varied] - centre) / spread
    fits = [_ridge(table, scores - mean, penalty) for penalty in PENALTIES]
    effects, left_out = min(fits, key=lambda fit: float(((fit[1] + mean - scores) ** 2).sum()))
    # The mean of the others is what one expects who knows nothing.
    ignorant = (scores - mean) * len(known) / (len(known) - 1)
    if float(((left_out + mean - scores) ** 2).sum()) >= float((ignorant**2).sum()):
        return _doubt(mean, known)
    return Estimate(
        mean,
        {name: float(effect) for name, effect in zip(names, effects, strict=True)},
        {n: (float(c), float(s)) for n, c, s in zip(names, centre, spread, strict=True)},
        len(known),
        rank_correlation(left_out, scores),
    )


def _doubt(mean: float, known: Sequence[tuple[Features, float]]) -> Estimate:
    """Larger is a little better."""
    sizes = np.array([features[SIZE] for features, _ in known if SIZE in features])
    centre = DOUBT_CENTRE
    if len(sizes) > 1 and sizes.std() > 0:
        centre = float(sizes.mean()), float(sizes.std())
    return Estimate(mean, {SIZE: DOUBT_EFFECT}, {SIZE: centre}, len(known), float("nan"))


def rank_correlation(one: Sequence[float] | Floats, other: Sequence[float] | Floats) -> float:
    """Spearman's; nan where one of the two does not vary."""
    if len(one) < 3:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(spearmanr(one, other).statistic)


def _ridge(table: Floats, target: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Coefficients, and the prediction of each row by the regression without it."""
    count = len(target)
    inverse = np.linalg.inv(table.T @ table + penalty * np.eye(table.shape[1]))
    effects = inverse @ table.T @ target
    # The mean was taken from all rows, which is a leverage of its own.
    leverage = np.einsum("ij,jk,ik->i", table, inverse, table) + 1 / count
    residual = target - table @ effects
    return effects, target - residual / np.maximum(1 - leverage, 1e-3)
