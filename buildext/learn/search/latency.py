"""The latency model: from the work of a network to milliseconds on the engine.

    t = f · (c + Σ_kind  a·dense + b·product + d·elements + e·layers)

with coefficients for each kind of part, none of them negative, fitted to the measured parts by
least squares on relative errors (Lawson and Hanson's NNLS): an error of a tenth counts as much on a
small part as on a large one. A whole network is faster than the sum of its parts, for each part
pays for its inputs and outputs; the factor f is the median of measured over predicted over the
networks that a search has measured, drawn towards 1 where these are few. How good the model is, is
told by networks that were predicted *before* they were measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from buildext.learn.search.parts import Sample
from buildext.learn.search.work import Work, Works

# Before any network is measured, the factor is held to be 1 as if so many had said so.
DOUBTS = 2


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """The fitted coefficients.

    Attributes:
        start_ms: what a call costs, whatever it computes.
        per_work: milliseconds for each of the four sums, by kind.
        factor: of a whole network against the sum of its parts.
    """

    start_ms: float
    per_work: Mapping[str, tuple[float, float, float, float]]
    factor: float = 1.0

    def predict(self, works: Works) -> float:
        """Milliseconds of a network; kinds that were never measured count nothing."""
        total = self.start_ms
        for kind, work in works.items():
            rates = self.per_work.get(kind, (0.0,) * 4)
            total += float(np.dot(rates, astuple(work)))
        return self.factor * total


def fit_latency(parts: Sequence[Sample], networks: Sequence[Sample] = ()) -> LatencyModel:
    """Fit the rates to measured parts, and the factor to measured networks."""
    kinds = sorted({kind for part in parts for kind in part.works})
    rows = np.array([_row(part.works, kinds) for part in parts])
    times = np.array([part.latency_ms for part in parts])
    # Columns of very different sizes would leave the solver with nothing but rounding.
    scale = np.maximum(rows.max(axis=0), 1e-30)
    found, _ = nnls(rows / scale / times[:, None], np.ones(len(times)))
    found = found / scale
    rates = found[1:].reshape(len(kinds), 4)
    per_work = {
        kind: (float(r[0]), float(r[1]), float(r[2]), float(r[3]))
        for kind, r in zip(kinds, rates, strict=True)
    }
    model = LatencyModel(float(found[0]), per_work)
    logs = [math.log(n.latency_ms / model.predict(n.works)) for n in networks]
    if not logs:
        return model
    trust = len(logs) / (len(logs) + DOUBTS)
    return replace(model, factor=math.exp(trust * statistics.median(logs)))


@dataclass(frozen=True, slots=True)
class LatencyError:
    """Predicted against measured.

    Attributes:
        count: of pairs.
        r2: share of the variance of the measured times that the predictions explain; nan below
            three pairs.
        median: of the relative errors.
        worst: the largest of them.
    """

    count: int
    r2: float
    median: float
    worst: float


def latency_error(predicted: Sequence[float], measured: Sequence[float]) -> LatencyError:
    """How far predictions are from what was measured."""
    if not measured:
        return LatencyError(0, float("nan"), float("nan"), float("nan"))
    guess, truth = np.array(predicted), np.array(measured)
    relative = np.abs(guess - truth) / truth
    spread = float(((truth - truth.mean()) ** 2).sum())
    residual = float(((truth - guess) ** 2).sum())
    r2 = 1 - residual / spread if len(truth) > 2 and spread > 0 else float("nan")
    return LatencyError(len(truth), r2, float(np.median(relative)), float(relative.max()))


def _row(works: Works, kinds: Sequence[str]) -> NDArray[np.float64]:
    parts = [astuple(works.get(kind, Work())) for kind in kinds]
    return np.concatenate([[1.0], np.array(parts, np.float64).reshape(-1)])
