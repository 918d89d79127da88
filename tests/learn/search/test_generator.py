"""Generators learn from judgements, keep constraints, and repeat."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from buildext.errors import ModelError, UsageError
from buildext.learn.search import generator as module
from buildext.learn.search.choice import LEAST_DIFFERENCE, choose, count_choices, distinct
from buildext.learn.search.config import (
    ConstraintSection,
    GeneratorSection,
    PerformanceSection,
    SearchConfig,
    SpaceSection,
)
from buildext.learn.search.generator import Generator, Judgement
from buildext.learn.search.performance import Figures, indicator, performance
from buildext.learn.search.space import Genome, Space, difference, key_of

SPACE = Space(SpaceSection())
LIMITS = ConstraintSection(latency_ms=10.0, parameters=2e6)
OWN = PerformanceSection()


def judge(genome: Genome) -> Judgement:
    """Wide deep stages are good and slow; single heads in stage 3 are good and cost nothing."""
    places = [value for name, value in genome.items() if name.endswith(("width", "blocks"))]
    size = sum(int(place) for place in places)
    score = min(0.2 + 0.03 * size + 0.2 * (genome["stage3.kind"] == "single"), 1.0)
    figures = Figures(int(1e5 * (1 + size)), int(1e8 * (1 + size)), 1.0 + size, score)
    return Judgement(genome, key_of(SPACE.spec(genome)), figures)


def make(kind: str, seed: int = 0) -> Generator:
    section = GeneratorSection(kind=kind, proposals=24, population=10)  # type: ignore[arg-type]
    return Generator(SPACE, section, LIMITS, OWN, seed)


def best(judgements: list[Judgement]) -> float:
    kept = [j for j in judgements if indicator(j.figures, LIMITS)]
    return max((performance(j.figures, OWN) for j in kept), default=-np.inf)


def later_turns(kind: str) -> list[Judgement]:
    """What three searches propose in their second to fourth turn."""
    found: list[Judgement] = []
    for seed in range(3):
        known = make(kind, seed).propose(1, [], judge)
        for turn in (2, 3, 4):
            new = make(kind, seed).propose(turn, known, judge)
            known = [*known, *new]
            found.extend(new)
    return found


def admitted(judgements: list[Judgement]) -> int:
    return sum(indicator(j.figures, LIMITS) for j in judgements)


@pytest.mark.parametrize("kind", ["nsga2", "tpe"])
def test_a_generator_learns_what_is_admitted_and_the_control_does_not(kind: str) -> None:
    assert admitted(later_turns(kind)) > 1.3 * admitted(later_turns("random"))


def test_tpe_learns_what_is_good() -> None:
    singles = [
        sum(j.genome["stage3.kind"] == "single" for j in later_turns(kind))
        for kind in ("tpe", "random")
    ]
    assert singles[0] > 2 * singles[1]


@pytest.mark.parametrize("kind", ["nsga2", "tpe", "random"])
def test_a_turn_comes_out_the_same_again(kind: str) -> None:
    known = make("random").propose(1, [], judge)
    once, again = (make(kind).propose(2, known, judge) for _ in range(2))
    assert once == again
    assert make(kind, seed=1).propose(2, known, judge) != once


def test_searches_with_one_seed_begin_alike() -> None:
    first = [make(kind).propose(1, [], judge) for kind in ("nsga2", "tpe", "random")]
    assert first[0] == first[1] == first[2]
    assert make("random").propose(2, [], judge) != first[0]


@pytest.mark.parametrize("kind", ["nsga2", "tpe", "random"])
def test_what_cannot_be_built_is_passed_over(kind: str) -> None:
    def picky(genome: Genome) -> Judgement:
        if genome["decoder"] == "linknet":
            raise ModelError("no such thing")
        return judge(genome)

    known = make("random").propose(1, [], judge)
    proposals = make(kind).propose(2, known, picky)
    assert 0 < len(proposals) <= 24
    assert all(p.genome["decoder"] != "linknet" for p in proposals)


def test_without_optuna_only_the_control_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs Optuna"):
        make("nsga2")
    assert make("random").propose(1, [], judge)


def test_optuna_keeps_quiet(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        make("tpe").propose(2, make("random").propose(1, [], judge), judge)
    assert not caplog.records


def config(kind: str = "nsga2", chosen: int = 4) -> SearchConfig:
    return SearchConfig.model_validate(
        {
            "name": "x",
            "constraints": LIMITS.model_dump(),
            "generator": {"kind": kind, "chosen": chosen},
        }
    )


def test_each_network_is_considered_once() -> None:
    proposals = make("random").propose(1, [], judge)
    doubled = [*proposals, *proposals[::-1]]
    assert distinct(doubled, set()) == proposals
    assert distinct(doubled, {proposals[0].key}) == proposals[1:]


def test_the_best_and_most_various_are_chosen() -> None:
    proposals = distinct(make("random").propose(1, [], judge), set())
    # A near relative of each, just as good.
    relatives = [judge({**p.genome, "half": (int(p.genome["half"]) + 1) % 4}) for p in proposals]
    everything = [*proposals, *relatives]
    admitted = [p for p in everything if indicator(p.figures, LIMITS)]
    chosen = choose(everything, config(), 2, [])
    assert len(chosen) == 4
    assert performance(chosen[0].figures, OWN) == best(admitted)
    for i, one in enumerate(chosen):
        for other in chosen[:i]:
            assert difference(one.genome, other.genome) >= LEAST_DIFFERENCE
    known = choose(everything, config(), 3, [chosen[0].genome])
    assert chosen[0] not in known


def test_the_control_takes_what_comes() -> None:
    proposals = distinct(make("random").propose(1, [], judge), set())
    admitted = [p for p in proposals if indicator(p.figures, LIMITS)]
    assert choose(proposals, config("random"), 3, []) == admitted[:4]
    assert choose(proposals, config("nsga2"), 1, []) == admitted[:4]


def test_choices_are_counted() -> None:
    proposals = make("random").propose(1, [], judge)
    counts = count_choices(proposals, SPACE)
    assert all(sum(by_choice.values()) == len(proposals) for by_choice in counts.values())
    assert set(counts["stage3.kind"]) == set(SpaceSection().stages[2].kinds)
