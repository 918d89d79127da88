"""The interval search where the answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from buildext.learn.compress.criteria import Cosine, FisherWeighted, sum_but
from buildext.learn.compress.ir.graph import Graph
from buildext.learn.compress.search import FACTORS, SiteSearch, best_factors, interval_of
from buildext.learn.compress.target import TARGETS, Choice
from buildext.learn.compress.workbench import Observation, Workbench


def test_every_channel_finds_its_own_factor() -> None:
    wanted = FACTORS[[3, 40, 77, 100]]
    found, left = best_factors(lambda f: (f - wanted).abs(), torch.zeros(4))
    assert torch.equal(found, wanted)
    assert left.tolist() == [0, 0, 0, 0]


def test_the_whole_range_stays_where_nothing_matters() -> None:
    found, _ = best_factors(torch.zeros_like, torch.zeros(2))
    assert found.tolist() == pytest.approx([1.0, 1.0], abs=0.01)


def test_looking_at_all_candidates_finds_no_better_one() -> None:
    # The error of cutting and rounding a normal sample in four bits, by factor.
    sample = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    whole = interval_of([sample])

    def error(factor: torch.Tensor) -> torch.Tensor:
        made = whole.quantiser(Choice("symmetric", False), 4, factor)
        return (made.fake(sample) - sample).square().mean()

    fast, slow = best_factors(error, whole.low), best_factors(error, whole.low, stride=1)
    assert float(fast[1]) == float(slow[1])
    # The best step for a normal variable and 16 levels is 0.335 deviations (Max, IRE Trans. IT-6,
    # 1960, table II).
    step = float(whole.quantiser(Choice("symmetric", False), 4, fast[0]).scale)
    assert step == pytest.approx(0.335, abs=0.02)


def test_an_outlier_is_cut_off_unless_the_result_depends_on_it(hybrid: Graph) -> None:
    bench = Workbench(hybrid, np.zeros((1, 3, 16, 16), np.uint8), 4, TARGETS["openvino"])
    site = next(s for s in bench.sites if s.kind == "linear")
    inputs = bench.weight(site).shape[0]
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(1, 50, inputs, generator=generator)
    values[0, 0] = 40.0
    operands: list[Any] = [values, bench.weight(site)]
    outputs = bench.run_site(site, operands)
    reach = {}
    for importance in (0.0, 1.0):
        fisher = torch.full_like(outputs, 1e-3)
        fisher[0, 0] = importance
        seen = Observation([operands], [outputs], [fisher])
        search = SiteSearch(bench, site, seen, FisherWeighted(), 4)
        found, _ = search.run({0: (Choice("symmetric", False),)})
        reach[importance] = float(found[0].limits()[1])
    assert reach[0.0] < 5
    assert reach[1.0] > 30


def test_large_maps_are_judged_by_some_tiles_spread_evenly(
    hybrid: Graph, tiles: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from buildext.learn.compress import search

    bench = Workbench(hybrid, np.tile(tiles, (6, 1, 1, 1)), 8, TARGETS["openvino"])
    stem = bench.sites[0]
    seen = bench.observe([stem])[stem.name]
    assert len(seen.outputs) == 6
    # A batch of four tiles has 4 x 8 x 16 x 16 outputs.
    for enough, wanted in ((1, [0]), (20_000, [0, 2, 4]), (10**6, [0, 1, 2, 3, 4, 5])):
        monkeypatch.setattr(search, "ENOUGH_OUTPUTS", enough)
        made = SiteSearch(bench, stem, seen, Cosine(), 8)
        assert made._judging == wanted


def test_sums_keep_one_axis() -> None:
    values = torch.arange(24.0).reshape(2, 3, 4)
    assert torch.equal(sum_but(values, 1), values.sum((0, 2)))
    assert torch.equal(sum_but(values, -1), values.sum((0, 1)))
    assert float(sum_but(values, None)) == 276


def test_the_cosine_ignores_length_and_adds_up_over_batches() -> None:
    cosine, one = Cosine(), torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    parts = [cosine.sums(3 * half, half, None, 1) for half in one.split(1)]
    assert torch.allclose(cosine.error(sum(parts)), torch.zeros(3, dtype=torch.float64), atol=1e-6)
    opposite = cosine.error(cosine.sums(-one, one, None, None))
    assert float(opposite) == pytest.approx(2.0)


def test_the_fisher_weight_of_logits_is_the_squared_residual(
    hybrid: Graph, tiles: np.ndarray
) -> None:
    bench = Workbench(hybrid, tiles[:4], 8, TARGETS["openvino"], stride_divisor=4)
    last = bench.sites[-1]
    seen = bench.observe([last], fisher=True)[last.name]
    (probability,) = bench.predictions()
    # (p - y)^2 with y drawn from p: one of two values, whose mean is p (1 - p).
    fisher = seen.fisher[0]
    nearest = torch.minimum(
        (fisher - probability.square()).abs(), (fisher - (1 - probability).square()).abs()
    )
    assert float(nearest.max()) < 1e-5
    assert float(fisher.mean()) == pytest.approx(
        float((probability * (1 - probability)).mean()), rel=0.05
    )
