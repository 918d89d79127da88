"""Quantisers against what they are defined as."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from buildext.learn.compress.ir.operators import compute
from buildext.learn.compress.quantiser import (
    Logarithmic,
    Twin,
    Uniform,
    asymmetric,
    make,
    symmetric,
)


def test_symmetric_levels_end_at_the_largest_value() -> None:
    made = symmetric(torch.tensor(12.75), 8)
    assert float(made.scale) == pytest.approx(0.1)
    got = made.levels(torch.tensor([-12.75, -0.26, 0.0, 0.04, 0.06, 12.75, 99.0]))
    assert got.tolist() == [-128, -3, 0, 0, 1, 127, 127]


def test_asymmetric_levels_cover_the_interval_and_zero() -> None:
    made = asymmetric(torch.tensor(-1.0), torch.tensor(50.0), 8)
    assert (float(made.scale), float(made.zero)) == (pytest.approx(0.2), 5)
    # An interval far from zero, as bridges have them, is widened and keeps its zero point.
    far = asymmetric(torch.tensor(100.0), torch.tensor(110.0), 8)
    assert float(far.zero) == 0
    assert float(far.fake(torch.tensor(110.0))) == pytest.approx(110.0)
    assert float(asymmetric(torch.tensor(-110.0), torch.tensor(-100.0), 8).zero) == 255


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=30),
    st.sampled_from([4, 6, 8]),
    st.sampled_from(["symmetric", "asymmetric"]),
)
def test_every_value_inside_is_off_by_half_a_step_at_most(
    numbers: list[float], bits: int, scheme: str
) -> None:
    values = torch.tensor(numbers)
    made = make(scheme, values.min(), values.max(), bits)  # type: ignore[arg-type]
    error = (made.fake(values) - values).abs()
    assert float(error.max()) <= 0.5001 * float(made.scale) + 1e-6 * float(values.abs().max())
    assert float(made.fake(torch.zeros(1))) == 0.0
    assert made.lowest <= float(made.zero) <= made.highest
    assert len(torch.unique(made.levels(torch.linspace(-2e4, 2e4, 5000)))) <= 2**bits


def test_a_width_of_nothing_gives_finite_numbers() -> None:
    made = symmetric(torch.zeros(3), 8, 0)
    assert torch.equal(made.fake(torch.zeros(3, 2)), torch.zeros(3, 2))


@pytest.mark.parametrize("axis", [None, 1])
def test_it_rounds_as_onnx_does(axis: int | None) -> None:
    values = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    shape = () if axis is None else (3,)
    made = asymmetric(torch.full(shape, -1.0), torch.full(shape, 1.5), 8, axis)
    zero = made.zero.to(torch.uint8)
    attributes = {} if axis is None else {"axis": axis}
    (levels,) = compute("QuantizeLinear", [values, made.scale, zero], attributes)
    assert levels.dtype == torch.uint8
    (again,) = compute("DequantizeLinear", [levels, made.scale, zero], attributes)
    assert torch.equal(again, made.fake(values))


def test_the_gradient_stops_where_levels_end() -> None:
    values = torch.tensor([-9.0, -0.4, 0.3, 9.0], requires_grad=True)
    symmetric(torch.tensor(1.0), 8).fake(values).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 0]


def test_powers_of_two() -> None:
    made = Logarithmic(1.0, 4)
    got = made.fake(torch.tensor([1.0, 0.6, 0.3, 2.0**-14, 0.0]))
    assert got.tolist() == [1.0, 0.5, 0.25, 2.0**-14, 0.0]


def test_twins_have_two_steps() -> None:
    fine = Uniform(torch.tensor(0.01), torch.tensor(0.0), 7, False)
    coarse = Uniform(torch.tensor(0.1), torch.tensor(0.0), 7, False)
    twin = Twin(fine, coarse, 1.0)
    np.testing.assert_allclose(
        twin.fake(torch.tensor([0.014, 0.994, 1.04, 3.26])).numpy(), [0.01, 0.99, 1.0, 3.3], 1e-5
    )
    assert twin.bits == 8
