"""The estimate of scores, and the proxies that it is made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from buildext.learn.search.estimate import (
    LEAST_TRAINED,
    features_of,
    fit_estimate,
    rank_correlation,
)
from buildext.learn.search.proxies import jacobian_score, proxies_of
from buildext.learn.search.work import Work, sketch
from buildext.learn.training.config import check_config
from buildext.models.card import NetworkSpec

Known = list[tuple[dict[str, float], float]]


def drawn(count: int, noise: float) -> Known:
    rng = np.random.default_rng(0)
    known = []
    for _ in range(count):
        size, useless = rng.normal(14, 1), rng.normal(0, 1)
        score = 0.5 + 0.08 * (size - 14) + noise * rng.normal()
        known.append(({"size": float(size), "useless": float(useless)}, float(score)))
    return known


def test_what_decides_is_found() -> None:
    known = drawn(30, 0.01)
    estimate = fit_estimate(known)
    assert estimate.effects["size"] > 10 * abs(estimate.effects["useless"])
    assert estimate.rank_correlation > 0.9
    assert estimate.predict({"size": 15.0, "useless": 0.0}) == pytest.approx(0.58, abs=0.02)


def test_left_out_predictions_are_those_of_fits_without_the_network() -> None:
    """Against fitting anew with one left out; the mean and the scale move a little then."""
    known = drawn(25, 0.02)
    by_hand = []
    for i in range(len(known)):
        others = known[:i] + known[i + 1 :]
        by_hand.append(fit_estimate(others).predict(known[i][0]))
    brute = rank_correlation(by_hand, [score for _, score in known])
    assert fit_estimate(known).rank_correlation == pytest.approx(brute, abs=0.02)


def test_noise_is_not_worth_much() -> None:
    rng = np.random.default_rng(1)
    known = [({f"f{i}": float(rng.normal()) for i in range(8)}, rng.random()) for _ in range(20)]
    estimate = fit_estimate(known)
    assert not estimate.rank_correlation > 0.5
    assert abs(estimate.predict({"f0": 3.0, "log_macs": 20.0}) - estimate.mean) < 0.25


def test_what_does_not_help_with_others_is_not_believed() -> None:
    known = [
        ({"odd": float(i % 2), "log_macs": 20.0 + (i % 4 < 2)}, 0.5 + 0.01 * (i // 4))
        for i in range(8)
    ]
    estimate = fit_estimate(known)
    assert not estimate.believed
    assert estimate.predict({"odd": 1.0, "log_macs": 20.5}) == pytest.approx(estimate.mean)
    larger, smaller = ({"odd": 0.0, "log_macs": size} for size in (21.0, 20.0))
    assert 0 < estimate.predict(larger) - estimate.predict(smaller) < 0.1


def test_with_few_trainings_networks_are_average() -> None:
    known = drawn(LEAST_TRAINED - 1, 0.0)
    estimate = fit_estimate(known)
    assert not estimate.believed
    average = {"size": 20.0, "log_macs": math.log(5e8)}
    assert estimate.predict(average) == pytest.approx(np.mean([s for _, s in known]))
    assert fit_estimate([]).predict(average) == 0.5


def test_features_are_proxies_and_shares_of_the_work() -> None:
    works = {"mask": Work(dense=60.0, product=15.0), "stem": Work(dense=25.0)}
    assert features_of({"snip": 1.0}, works) == {
        "snip": 1.0,
        "share of mask": 0.75,
        "share of stem": 0.25,
    }


def test_rows_that_point_apart_score_best() -> None:
    torch.manual_seed(0)
    apart = torch.randn(6, 500)
    alike = apart[:1] + 0.1 * torch.randn(6, 500)
    assert jacobian_score(alike) < jacobian_score(apart) < -0.99
    assert jacobian_score(apart) == pytest.approx(jacobian_score(3 * apart + 1))


def test_proxies_are_numbers_and_repeat() -> None:
    config = check_config({"name": "x", "datasets": ["d"], "schedule": {"steps": 1}}, "x")
    spec = NetworkSpec(encoder="tu-test_efficientnet", decoder_channels=(8, 8, 8, 8, 8))
    generator = torch.Generator().manual_seed(0)
    batch = {
        "image": torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=generator),
        "target": (torch.rand(4, 2, 64, 64, generator=generator) > 0.5).half(),
        "weight": torch.ones(4, 2, 64, 64).half(),
    }
    counted = sketch(spec, 64)
    found = proxies_of(spec, counted, config, batch)
    assert all(math.isfinite(value) for value in found.values())
    assert found["log_macs"] == math.log(counted.macs)
    assert proxies_of(spec, counted, config, batch) == found
