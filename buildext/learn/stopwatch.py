"""How long a call takes: the median of several, after a few to warm up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Clock = Callable[[], float]

WARM_UP, LEAST_RUNS, MOST_RUNS, LEAST_SECONDS = 2, 9, 60, 0.1


def median_ms(run: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """Median time of a call in milliseconds, over a tenth of a second at least."""
    for _ in range(WARM_UP):
        run()
    times: list[float] = []
    while len(times) < LEAST_RUNS or (sum(times) < LEAST_SECONDS and len(times) < MOST_RUNS):
        started = clock()
        run()
        times.append(clock() - started)
    return 1000 * statistics.median(times)
