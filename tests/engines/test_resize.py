"""Resampling is torch's bilinear one with antialiasing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from buildext.engines.resize import resample, resampling


@pytest.mark.parametrize(("from_px", "to_px"), [(768, 480), (768, 608), (96, 64), (64, 96), (7, 3)])
def test_equals_torchs_bilinear(from_px: int, to_px: int) -> None:
    tile = np.random.default_rng(0).random((2, from_px, from_px), np.float32)
    # In doubles: torch places the centres in the tile's own precision.
    image = torch.from_numpy(tile).double()[None]
    expected = F.interpolate(image, (to_px, to_px), mode="bilinear", antialias=True)[0].numpy()
    found = resample(resampling(from_px, to_px), tile)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, atol=2e-6)


@given(st.integers(2, 90), st.integers(2, 90))
def test_weights_are_shares(from_px: int, to_px: int) -> None:
    weights = resampling(from_px, to_px)
    assert weights.shape == (to_px, from_px)
    assert weights.data.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


def test_the_same_size_changes_nothing() -> None:
    tile = np.random.default_rng(1).random((3, 32, 32), np.float32)
    np.testing.assert_array_equal(resample(resampling(32, 32), tile), tile)
