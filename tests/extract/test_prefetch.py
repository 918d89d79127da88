"""Prefetching changes nothing but the time: order, errors, and who stops whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildext.extract.prefetch import prefetch

PATIENCE_S = 20


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@given(st.lists(st.integers()), st.integers(1, 4))
def test_items_come_in_order(items: list[int], ahead: int) -> None:
    assert list(prefetch(iter(items), ahead, "test-order")) == items
    assert "test-order" not in threads()


def test_the_producer_runs_in_its_own_thread_and_not_far_ahead() -> None:
    made: list[str] = []

    def produce() -> Iterator[int]:
        for number in range(100):
            made.append(threading.current_thread().name)
            yield number

    items = prefetch(produce(), 3, "test-ahead")
    assert next(items) == 0
    deadline = time.monotonic() + PATIENCE_S
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    # One taken, three waiting, one in the producer's hand.
    assert len(made) == 5
    assert set(made) == {"test-ahead"}
    items.close()


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_comes_after_the_items_before_it(error: BaseException) -> None:
    def produce() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    items = prefetch(produce(), 4, "test-error")
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(type(error)) as caught:
        next(items)
    assert caught.value is error
    assert "test-error" not in threads()


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_consumer_that_stops_stops_the_producer_and_lets_it_clean_up(taken: int) -> None:
    closed_in: list[str] = []

    def produce() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed_in.append(threading.current_thread().name)

    items = prefetch(produce(), 2, "test-stop")
    for number in range(taken):
        assert next(items) == number
    items.close()
    assert "test-stop" not in threads()
    # Never begun, there is nothing to clean up.
    assert closed_in == (["test-stop"] if taken else [])


def test_nested_prefetches_stop_from_the_outside_in() -> None:
    def count() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    inner = prefetch(count(), 2, "test-inner")
    outer = prefetch((2 * number for number in inner), 2, "test-outer")
    assert [next(outer) for _ in range(5)] == [0, 2, 4, 6, 8]
    outer.close()
    inner.close()
    assert threads().isdisjoint({"test-inner", "test-outer"})
