"""Halving a batch when memory runs out, and streaming in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildext.engines.base import FloatArray, UInt8Array, run_halving, stream_in_batches
from buildext.errors import ResourceError

Infer = Callable[[UInt8Array], FloatArray]


def brightness(batch: UInt8Array) -> FloatArray:
    """A network of no depth: one channel, the mean of the three."""
    return (batch.mean(axis=1, keepdims=True) / 255).astype(np.float32)


def with_memory_for(tiles: int, error: Exception, sizes: list[int]) -> Infer:
    """Inference that fails on batches larger than `tiles` and records what succeeded."""

    def infer(batch: UInt8Array) -> FloatArray:
        if len(batch) > tiles:
            raise error
        sizes.append(len(batch))
        return brightness(batch)

    return infer


def batch_of(count: int) -> UInt8Array:
    return np.random.default_rng(count).integers(0, 256, (count, 3, 4, 5), dtype=np.uint8)


OUT_OF_MEMORY = [
    MemoryError(),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("[CPU] Failed to allocate 4096 bytes"),
]


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from(OUT_OF_MEMORY))
def test_halves_until_it_fits_and_keeps_the_order(count: int, fits: int, error: Exception) -> None:
    sizes: list[int] = []
    batch = batch_of(count)
    result = run_halving(with_memory_for(fits, error, sizes), batch)
    np.testing.assert_array_equal(result, brightness(batch))
    assert sum(sizes) == count
    # Not smaller than need be: a piece is at most halved once too often.
    assert max(sizes) <= fits
    assert len(sizes) == 1 or min(sizes) >= (fits + 1) // 2 - 1


def test_one_tile_that_does_not_fit_is_an_error_of_ours() -> None:
    with pytest.raises(ResourceError, match="single tile of 5 px") as caught:
        run_halving(with_memory_for(0, MemoryError(), []), batch_of(8))
    assert caught.value.exit_code == 5
    assert "--tile" in caught.value.hint


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run_halving(with_memory_for(0, RuntimeError("shape mismatch"), []), batch_of(8))


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_streaming_keeps_order_and_keys(present: list[bool], batch_size: int) -> None:
    images = batch_of(len(present))
    sizes: list[int] = []
    under_way = 0

    def jobs() -> Iterator[tuple[int, UInt8Array | None]]:
        nonlocal under_way
        for index, there in enumerate(present):
            under_way += 1
            yield index, images[index] if there else None

    keys = []
    for key, result in stream_in_batches(
        with_memory_for(99, MemoryError(), sizes), jobs(), batch_size
    ):
        assert under_way <= 8 * batch_size
        under_way -= 1
        keys.append(key)
        if present[key]:
            np.testing.assert_array_equal(result, brightness(images[key : key + 1])[0])
        else:
            assert result is None
    assert keys == list(range(len(present)))
    assert max(sizes, default=0) <= batch_size
