"""Choosing: which of a turn's proposals are worth being measured and trained."""

from __future__ import annotations

from collections.abc import Sequence

from buildext.learn.search.config import SearchConfig
from buildext.learn.search.generator import FIRST_TURN, Judgement
from buildext.learn.search.performance import indicator, performance
from buildext.learn.search.space import Genome, Space, difference

# Two networks that differ in fewer choices than this would tell the same thing twice.
LEAST_DIFFERENCE = 3


def distinct(proposals: Sequence[Judgement], known: set[str]) -> list[Judgement]:
    """Each network once, in the order in which they were proposed, without those known before."""
    first = {proposal.key: proposal for proposal in reversed(proposals)}
    order = dict.fromkeys(proposal.key for proposal in proposals)
    return [first[key] for key in order if key not in known]


def choose(
    proposals: Sequence[Judgement], config: SearchConfig, turn: int, before: Sequence[Genome]
) -> list[Judgement]:
    """The proposals that go on.

    The first turn and the random control take what comes first; else the best performance that is
    predicted comes first, near relatives of what is chosen or known already behind all others.

    Args:
        proposals: distinct ones.
        config: of the search.
        turn: from 1.
        before: genomes of what earlier turns chose.
    """
    admitted = [p for p in proposals if indicator(p.figures, config.constraints)]
    if turn == FIRST_TURN or config.generator.kind == "random":
        return admitted[: config.generator.chosen]
    ranked = sorted(admitted, key=lambda p: -performance(p.figures, config.performance))
    seen, picked, relatives = list(before), [], []
    for proposal in ranked:
        if all(difference(proposal.genome, genome) >= LEAST_DIFFERENCE for genome in seen):
            picked.append(proposal)
            seen.append(proposal.genome)
        else:
            relatives.append(proposal)
    return [*picked, *relatives][: config.generator.chosen]


def count_choices(proposals: Sequence[Judgement], space: Space) -> dict[str, dict[str, int]]:
    """How often each choice of each parameter was proposed."""
    counts = {p.name: dict.fromkeys(p.choices, 0) for p in space.parameters}
    for proposal in proposals:
        for name, choice in space.meaning(proposal.genome).items():
            counts[name][choice] += 1
    return counts
