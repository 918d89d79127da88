"""The interval search where the answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from buildext.learn.compress import sample as sample_module
from buildext.learn.compress.criteria import Cosine, FisherWeighted
from buildext.learn.compress.interval import Interval, interval_of
from buildext.learn.compress.ir.graph import Graph
from buildext.learn.compress.ir.operators import complete, compute
from buildext.learn.compress.methods.searched import all_choices, first_choices
from buildext.learn.compress.quantiser import Uniform
from buildext.learn.compress.sample import Sample, Sampler
from buildext.learn.compress.search import FACTORS, STRIDE, SiteSearch, best_factors
from buildext.learn.compress.sites import Site
from buildext.learn.compress.target import TARGETS, Choice
from buildext.learn.compress.workbench import Observation, Workbench
from tests.learn.compress.conftest import pictures


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


def sample_of(
    bench: Workbench, site: Site, operands: list[list[Any]], fisher: list[torch.Tensor]
) -> Sample:
    """What a site makes of operands, batch by batch, with given weights of errors."""
    node = bench.nodes[site.name]
    tiles = sum(len(batch) for batch in fisher)
    sampler = Sampler(site, node, bench.runner.constants, tiles, 0)
    for batch, weights in zip(operands, fisher, strict=True):
        sampler.add(batch, compute(node.op, batch, complete(node))[0], weights, len(weights))
    return sampler.sample()


def test_an_outlier_is_cut_off_unless_the_result_depends_on_it(hybrid: Graph) -> None:
    bench = Workbench(hybrid, np.zeros((1, 3, 16, 16), np.uint8), 4, TARGETS["openvino"])
    site = next(s for s in bench.sites if s.kind == "linear")
    inputs, channels = bench.weight(site).shape
    values = torch.randn(1, 50, inputs, generator=torch.Generator().manual_seed(0))
    values[0, 0] = 40.0
    reach = {}
    for importance in (0.0, 1.0):
        fisher = torch.full((1, 50, channels), 1e-3)
        fisher[0, 0] = importance
        sample = sample_of(bench, site, [[values, bench.weight(site)]], [fisher])
        found, _ = SiteSearch(sample, FisherWeighted(), 4).run({0: (Choice("symmetric", False),)})
        reach[importance] = float(found[0].limits()[1])
    assert reach[0.0] < 5
    assert reach[1.0] > 30


class PlainSearch:
    """The search by its definition: the operator itself on whole tensors, candidate by candidate.

    Three rounds whatever happens, weights first, the way to quantise settled in the first round.
    """

    def __init__(
        self,
        bench: Workbench,
        site: Site,
        operands: list[list[Any]],
        fisher: list[torch.Tensor],
        bits: int,
        stride: int,
    ) -> None:
        self.bench, self.site, self.bits, self.stride = bench, site, bits, stride
        self.operands, self.fisher = operands, fisher
        self.wanted = [self.make(batch, {}) for batch in operands]

    def make(self, batch: list[Any], quantisers: dict[int, Uniform]) -> torch.Tensor:
        node = self.bench.nodes[self.site.name]
        inputs = [quantisers[k].fake(v) if k in quantisers else v for k, v in enumerate(batch)]
        made: torch.Tensor = compute(node.op, inputs, complete(node))[0]
        return made

    def error(self, quantisers: dict[int, Uniform], axis: int | None = None) -> torch.Tensor:
        total = torch.zeros(())
        for batch, wanted, fisher in zip(self.operands, self.wanted, self.fisher, strict=True):
            off = fisher * (self.make(batch, quantisers) - wanted).square()
            others = [k for k in range(off.ndim) if axis is not None and k != axis % off.ndim]
            total = total + (off.sum(others) if axis is not None else off.sum())
        return total

    def interval(self, position: int, choice: Choice) -> Interval:
        axis = self.site.weight_axis if position == 1 else self.site.channel_axis
        tensors = [batch[position] for batch in self.operands]
        return interval_of(tensors, axis if choice.per_channel else None)

    def run(self, choices: dict[int, tuple[Choice, ...]]) -> tuple[dict[int, Uniform], float]:
        found = {
            k: self.interval(k, ways[0]).quantiser(ways[0], self.bits)
            for k, ways in choices.items()
        }
        ways = dict(choices)
        for _ in range(3):
            for k in sorted(choices, reverse=True):
                tried = []
                for choice in ways[k]:
                    interval = self.interval(k, choice)
                    axis = self.site.channel_axis if choice.per_channel else None

                    def error(factor: torch.Tensor, *how: Any) -> torch.Tensor:
                        interval, choice, axis, k = how
                        made = interval.quantiser(choice, self.bits, factor)
                        return self.error({**found, k: made}, axis)

                    factor, left = best_factors(
                        lambda f, how=(interval, choice, axis, k): error(f, *how),
                        interval.low,
                        self.stride,
                    )
                    quantiser = interval.quantiser(choice, self.bits, factor)
                    tried.append((float(left.sum()), quantiser, choice))
                _, found[k], kept = min(tried, key=lambda one: one[0])
                ways[k] = (kept,)
        return found, float(self.error(found))


def kinds(bench: Workbench) -> list[Site]:
    """A site of each kind: strided, depthwise, dense, transposed, linear, both products, last."""
    found: dict[str, Site] = {}
    for site in bench.sites:
        node = bench.nodes[site.name]
        strided = node.attributes.get("strides", [1])[0] > 1
        key = f"{node.op} {site.kind} {site.kernel_px} {strided}"
        number = len([name for name in found if name.startswith(key)])
        found[key if site.kind != "attention" else f"{key} {number}"] = site
    return list(found.values())


@pytest.fixture(scope="module")
def seen(hybrid: Graph) -> tuple[Workbench, dict[str, Observation]]:
    """Two batches of tiles so small that all places are taken."""
    bench = Workbench(hybrid, pictures(6, 24, 4), 4, TARGETS["simulation"])
    return bench, bench.observe(bench.sites)


def heavy_tailed(outputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Weights as gradients have them: most next to nothing, few large."""
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(one.shape, generator=generator) ** 12 for one in outputs]


def test_the_fast_search_finds_what_the_plain_one_finds(
    seen: tuple[Workbench, dict[str, Observation]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_module, "ROWS", 64)
    bench, observed = seen
    sites = kinds(bench)
    assert {site.kind for site in sites} == {"convolution", "depthwise", "linear", "attention"}
    assert "ConvTranspose" in {bench.nodes[site.name].op for site in sites}
    for site in sites:
        operands, fisher = observed[site.name].operands, heavy_tailed(observed[site.name].outputs)
        choices = all_choices(bench, site)
        fast = SiteSearch(sample_of(bench, site, operands, fisher), FisherWeighted(), 4)
        found, left = fast.run(choices)
        plain, plain_left = PlainSearch(bench, site, operands, fisher, 4, STRIDE).run(choices)
        assert left == pytest.approx(plain_left, rel=1e-3), site.name
        for position, quantiser in plain.items():
            assert (found[position].signed, found[position].axis) == (
                quantiser.signed,
                quantiser.axis,
            )
            torch.testing.assert_close(found[position].scale, quantiser.scale)


def test_trying_every_eighth_factor_loses_next_to_nothing(
    seen: tuple[Workbench, dict[str, Observation]],
) -> None:
    bench, observed = seen
    for site in kinds(bench)[1:3]:
        operands, fisher = observed[site.name].operands, heavy_tailed(observed[site.name].outputs)
        choices = first_choices(bench, site)
        _, coarse = PlainSearch(bench, site, operands, fisher, 4, STRIDE).run(choices)
        _, all_tried = PlainSearch(bench, site, operands, fisher, 4, 1).run(choices)
        assert coarse <= 1.02 * all_tried, site.name


def test_a_few_places_lead_to_nearly_the_same_error(
    hybrid: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Workbench(hybrid, pictures(24, 32, 5), 4, TARGETS["openvino"])
    site = next(s for s in bench.sites if s.name.endswith("head/Conv"))
    observed = bench.observe([site])[site.name]
    fisher = heavy_tailed(observed.outputs)
    monkeypatch.setattr(sample_module, "MOST_PLACES", 10_000)
    monkeypatch.setattr(sample_module, "NUMBERS", 10**9)
    whole = sample_of(bench, site, observed.operands, fisher)
    monkeypatch.setattr(sample_module, "LEAST_PLACES", 600)
    monkeypatch.setattr(sample_module, "MOST_PLACES", 600)
    few = sample_of(bench, site, observed.operands, fisher)
    assert (whole.first.shape[1], few.first.shape[1]) == (24 * 16 * 16, 600)
    choices = all_choices(bench, site)
    best, least = SiteSearch(whole, FisherWeighted(), 4).run(choices)
    found, _ = SiteSearch(few, FisherWeighted(), 4).run(choices)
    start = {k: SiteSearch(whole, FisherWeighted(), 4).start(k, choices[k][0]) for k in best}
    judge = SiteSearch(whole, FisherWeighted(), 4)
    assert judge.error(found) < 1.05 * least
    assert least < 0.9 * judge.error(start)


def test_a_search_ends_once_an_interval_stays(
    seen: tuple[Workbench, dict[str, Observation]],
) -> None:
    bench, observed = seen
    (site,) = (s for s in bench.sites if s.name.endswith("fuse/Conv"))
    fisher = heavy_tailed(observed[site.name].outputs)
    sample = sample_of(bench, site, observed[site.name].operands, fisher)
    short, long = (
        SiteSearch(sample, FisherWeighted(), 4).run(first_choices(bench, site), rounds)
        for rounds in (3, 30)
    )
    asked = []

    class Counting(SiteSearch):
        def _improve(self, position: int, *rest: Any) -> Any:
            asked.append(position)
            return super()._improve(position, *rest)

    Counting(sample, FisherWeighted(), 4).run(first_choices(bench, site), 30)
    assert long[1] <= short[1]
    assert len(asked) < 60
    assert asked[:4] == [1, 0, 1, 0][: len(asked)]


def test_the_cosine_ignores_length() -> None:
    cosine, one = Cosine(), torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    sums = cosine.sums(3 * one, one, None)
    assert sums.shape == (3, 2, 3)
    assert torch.allclose(cosine.error(sums), torch.zeros(2, 3, dtype=torch.float64), atol=1e-6)
    opposite = cosine.error(cosine.sums(-one, one, None).flatten(1).sum(1))
    assert float(opposite) == pytest.approx(2.0)


def test_errors_are_summed_channel_by_channel() -> None:
    made, wanted = torch.zeros(2, 4, 3), torch.arange(24.0).reshape(2, 4, 3)
    sums = FisherWeighted().sums(made, wanted, torch.full((2, 4, 3), 0.5))
    assert torch.equal(sums[0], 0.5 * wanted.square().sum(1))


def test_the_fisher_weight_of_logits_is_the_squared_residual(
    hybrid: Graph, tiles: np.ndarray
) -> None:
    bench = Workbench(hybrid, tiles[:4], 8, TARGETS["openvino"], stride_divisor=4)
    last = bench.sites[-1]
    sample = bench.sample([last], fisher=True)[last.name]
    probability = torch.sigmoid(sample.wanted)
    # All places are taken, so (p - y)^2 with y drawn from p: one of two, whose mean is p (1 - p).
    assert sample.wanted.shape == (1, 4 * 32 * 32, 2)
    assert sample.fisher is not None
    fisher = sample.fisher
    nearest = torch.minimum(
        (fisher - probability.square()).abs(), (fisher - (1 - probability).square()).abs()
    )
    assert float(nearest.max()) < 1e-5
    assert float(fisher.mean()) == pytest.approx(
        float((probability * (1 - probability)).mean()), rel=0.05
    )
