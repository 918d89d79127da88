"""Results are made once, however many threads ask for them, and forgotten in the end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from buildext.simulate.kept import Kept


def test_threads_that_ask_together_get_one_and_the_same_result() -> None:
    made: list[tuple[int, int]] = []
    together = threading.Barrier(4)

    def make(i: int, j: int) -> list[int]:
        made.append((i, j))
        # Long enough for the others to ask meanwhile.
        time.sleep(0.2)
        return [i, j]

    kept = Kept(make, 2)

    def ask(_: int) -> list[int]:
        together.wait(20)
        return kept(3, 4)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(ask, range(4)))
    assert made == [(3, 4)]
    assert all(result is results[0] for result in results)


def test_what_was_asked_for_the_longest_ago_is_forgotten() -> None:
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        return -key

    kept = Kept(make, 2)
    assert [kept(k) for k in (1, 2, 1, 3, 1)] == [-1, -2, -1, -3, -1]
    assert made == [1, 2, 3]
    kept(2)
    assert made == [1, 2, 3, 2]


def test_a_failure_is_told_and_not_kept() -> None:
    tries: list[int] = []

    def make(key: int) -> int:
        tries.append(key)
        if len(tries) == 1:
            raise ValueError("the first try fails")
        return key

    kept = Kept(make, 2)
    with pytest.raises(ValueError, match="first try"):
        kept(7)
    assert kept(7) == 7
