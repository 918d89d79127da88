"""Ratios: quotients of counts that may have nothing to divide by."""

from __future__ import annotations

import numpy as np

from buildext.evaluate.bootstrap import Counts


def ratio(part: float, whole: float) -> float | None:
    """`part / whole`, None where there is nothing to divide by."""
    return part / whole if whole else None


def quotient(sums: Counts) -> Counts:
    """First over second column of `(B, 2)` sums, `(B,)`; NaN where the second is 0."""
    out: Counts = np.full(len(sums), np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=out, where=sums[:, 1] > 0)
    return out
