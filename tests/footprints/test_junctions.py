"""The solution of the junctions' equations does not depend on how many threads BLAS has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib
import numpy as np
from buildext.footprints.junctions import _solve

chance = np.random.default_rng(0)
digest = hashlib.sha256()
for size in (8, 40, 62, 64, 66, 100, 104, 118, 120, 122, 200):
    for _ in range(4):
        # Walls that tie four unknowns each, as in a row of houses.
        tied = (chance.integers(0, size, 3 * size)[:, None] + np.arange(4)) % size
        factor = chance.normal(size=(3 * size, 4))
        value = factor[:, :, None] * factor[:, None, :]
        row = np.repeat(tied, 4, axis=1).ravel()
        column = np.tile(tied, 4).ravel()
        found = _solve(row, column, value.ravel(), chance.normal(size=size))
        assert np.isfinite(found).all()
        digest.update(found.tobytes())
print(digest.hexdigest())
"""


def solve_all(threads: int) -> str:
    limit = {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **limit},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: BLAS has one thread")
def test_threads_change_no_bit() -> None:
    assert solve_all(1) == solve_all(2)
