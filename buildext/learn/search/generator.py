"""Generators: they propose, learn from what the inquisitor says, and propose again.

Within a turn a generator asks for judgements that cost next to nothing: sizes are counted, latency
and score predicted. It is told first what all turns before came to, with measured latencies and
trained scores in place of predictions, so what it samples from is what the inquisitor found out.

- `nsga2` (Deb et al. 2002) crosses and mutates a population towards the front of score and latency;
  a network that breaks a constraint is worse than any that keeps them.
- `tpe` (Bergstra et al. 2011; Watanabe 2023) samples where performance was high more densely than
  where it was low.
- `random` is the control: each choice as likely as the others, whatever was found.

Optuna does the first two. Its study lives for one turn and is made from the records, so nothing of
it must be kept, and a turn that is done again comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from buildext.errors import ModelError, UsageError
from buildext.learn.search.config import ConstraintSection, GeneratorSection, PerformanceSection
from buildext.learn.search.performance import Figures, performance, violations
from buildext.learn.search.space import Genome, Space

FIRST_TURN = 1


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known or predicted of a proposal.

    Attributes:
        genome: as proposed.
        key: of its network.
        figures: with a score, predicted or trained.
    """

    genome: Genome
    key: str
    figures: Figures


Judge = Callable[[Genome], Judgement]


class Generator:
    """Proposes networks.

    Args:
        space: what they may be.
        section: how they are proposed.
        limits: what they must keep.
        exponents: what is better.
        seed: of the search.

    Raises:
        UsageError: Optuna is not installed.
    """

    def __init__(
        self,
        space: Space,
        section: GeneratorSection,
        limits: ConstraintSection,
        exponents: PerformanceSection,
        seed: int,
    ) -> None:
        if section.kind != "random" and find_spec("optuna") is None:
            raise UsageError(
                f"the generator {section.kind!r} needs Optuna, which is not installed",
                hint='pip install "buildext[search]"',
            )
        self._space, self._section = space, section
        self._limits, self._exponents, self._seed = limits, exponents, seed

    def propose(self, turn: int, known: Sequence[Judgement], judge: Judge) -> list[Judgement]:
        """Proposals of a turn in their order; one network may be proposed more than once.

        Args:
            turn: from 1; the first draws at random whatever the kind, so that searches with one
                seed begin alike.
            known: what the turns before came to.
            judge: of a new genome.
        """
        if turn == FIRST_TURN or self._section.kind == "random":
            return self._draw(turn, judge)
        return self._ask(turn, known, judge)

    def _draw(self, turn: int, judge: Judge) -> list[Judgement]:
        rng = np.random.default_rng([self._seed, turn])
        proposals = []
        for _ in range(self._section.proposals):
            with suppress(ModelError):
                proposals.append(judge(self._space.draw(rng)))
        return proposals

    def _ask(self, turn: int, known: Sequence[Judgement], judge: Judge) -> list[Judgement]:
        import optuna

        with _quiet(optuna):
            study = self._study(optuna, turn)
            for judgement in known:
                study.enqueue_trial(judgement.genome)
                trial = study.ask()
                self._suggest(trial)
                self._tell(study, trial, judgement)
            proposals = []
            for _ in range(self._section.proposals):
                trial = study.ask()
                try:
                    judgement = judge(self._suggest(trial))
                except ModelError:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    continue
                self._tell(study, trial, judgement)
                proposals.append(judgement)
        return proposals

    def _study(self, optuna: Any, turn: int) -> Any:
        seed = 1000 * self._seed + turn
        if self._section.kind == "nsga2":
            sampler = optuna.samplers.NSGAIISampler(
                population_size=self._section.population, seed=seed
            )
            return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        sampler = optuna.samplers.TPESampler(n_startup_trials=0, seed=seed)
        return optuna.create_study(direction="maximize", sampler=sampler)

    def _suggest(self, trial: Any) -> Genome:
        genome: Genome = {}
        for parameter in self._space.parameters:
            if parameter.ordered:
                last = len(parameter.choices) - 1
                genome[parameter.name] = trial.suggest_int(parameter.name, 0, last)
            else:
                choices = list(parameter.choices)
                genome[parameter.name] = trial.suggest_categorical(parameter.name, choices)
        return genome

    def _tell(self, study: Any, trial: Any, judgement: Judgement) -> None:
        figures = judgement.figures
        for name, value in violations(figures, self._limits).items():
            trial.set_constraint(name, value)
        if self._section.kind == "nsga2":
            study.tell(trial, [figures.score, figures.latency_ms])
        else:
            study.tell(trial, performance(figures, self._exponents))


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Optuna tells each trial on the log; hundreds of predictions are no news."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
