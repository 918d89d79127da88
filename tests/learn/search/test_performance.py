"""The indicator and the performance function."""

from __future__ import annotations

import pytest

from buildext.learn.search.config import ConstraintSection, PerformanceSection
from buildext.learn.search.performance import Figures, indicator, performance, violations

FIGURES = Figures(parameters=2_000_000, macs=1_000_000_000, latency_ms=20.0, score=0.5)
NETSCORE = PerformanceSection(accuracy=2.0, parameters=0.5, macs=0.5)


def test_netscore_of_a_known_network() -> None:
    """20 log10(50² / (2^½ · 1^½)) by hand."""
    assert performance(FIGURES, NETSCORE) == pytest.approx(64.948, abs=1e-3)


def test_half_the_parameters_are_worth_nineteen_percent_of_accuracy_to_netscore() -> None:
    smaller = Figures(1_000_000, FIGURES.macs, 20.0, 0.5)
    better = Figures(FIGURES.parameters, FIGURES.macs, 20.0, 0.5 * 2**0.25)
    assert performance(smaller, NETSCORE) == pytest.approx(performance(better, NETSCORE))
    own = PerformanceSection()
    assert performance(smaller, own) < performance(better, own)


def test_a_limit_is_kept_up_to_itself() -> None:
    limits = ConstraintSection(latency_ms=20.0, parameters=2e6, macs=1e9, score=0.5)
    assert indicator(FIGURES, limits)
    assert violations(FIGURES, limits) == dict.fromkeys(
        ("latency_ms", "parameters", "macs", "score"), 0.0
    )


@pytest.mark.parametrize(
    ("limit", "by"),
    [
        ({"latency_ms": 16.0}, 0.25),
        ({"parameters": 1e6}, 1.0),
        ({"macs": 8e8}, 0.25),
        ({"score": 0.625}, 0.2),
    ],
)
def test_each_limit_binds(limit: dict[str, float], by: float) -> None:
    limits = ConstraintSection(**{"latency_ms": 100.0, **limit})
    (name,) = limit
    assert not indicator(FIGURES, limits)
    assert violations(FIGURES, limits)[name] == pytest.approx(by)


def test_what_is_not_known_violates_nothing() -> None:
    limits = ConstraintSection(latency_ms=20.0, int8_share=0.9, score=0.4)
    unknown = Figures(1, 1, 10.0)
    assert violations(unknown, limits) == {"latency_ms": -0.5, "int8_share": 0.0, "score": 0.0}
    assert not indicator(Figures(1, 1, 10.0, int8_share=0.8), limits)
