"""A search: generator and inquisitor in turns, until the budget is spent.

    parts measured → references probed → turn 1 … turn n → finalists → model

    OUT/
      search.json            the resolved config, and what it runs on
      parts/                 measured parts, for the latency model
      turns/, candidates/    what was proposed, and all that was found out (see `candidate`)
      runs/                  the trainings
      search.html            the page
      study.toml             finalists against hand-designed encoders of equal latency
      best.toml              the training config of the best network, to train it further
      model/                 the best network as a model: card and weights

It can be killed at any moment. Started again with the same command it skips what has a record.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
from pathlib import Path

from buildext.atomic import atomic_path
from buildext.errors import ModelError, UsageError
from buildext.learn.search.candidate import Candidate, Records, Turn
from buildext.learn.search.choice import choose, count_choices, distinct
from buildext.learn.search.config import load_search
from buildext.learn.search.generator import Generator, Judgement
from buildext.learn.search.inquisitor import FINAL_ROUNDS, Inquisitor
from buildext.learn.search.outcome import write_best, write_study
from buildext.learn.search.page import PAGE_FILE, write_page
from buildext.learn.search.parts import Sample, measure_parts
from buildext.learn.search.performance import indicator, performance
from buildext.learn.search.references import find_reference
from buildext.learn.search.space import Genome, Space
from buildext.learn.search.trainings import Trainer
from buildext.progress import Progress

log = logging.getLogger(__name__)

CONFIG_FILE = "search.json"
PARTS, RUNS = "parts", "runs"


class Search:
    """A config and the folder in which it is carried out.

    Args:
        path: of the config.
        folder: of everything that comes out; made when needed.
        progress: told each step.

    Raises:
        UsageError, InputError: the config cannot be carried out.
    """

    def __init__(self, path: Path, folder: Path, progress: Progress) -> None:
        self.config, self._training, self._base = load_search(path)
        self.folder = folder
        self.records = Records(folder)
        self.space = Space(self.config.space)
        self._progress = progress
        config = self.config
        self._trainer = Trainer(
            self._training, self._base, folder / RUNS, config.budget, config.seed, progress
        )
        self._generator = Generator(
            self.space, config.generator, config.constraints, config.performance, config.seed
        )

    @property
    def page(self) -> Path:
        """Where the page is written."""
        return self.folder / PAGE_FILE

    def run(self) -> Candidate:
        """Do what is left to do.

        Returns:
            The best network.

        Raises:
            UsageError: the folder holds another search.
            ModelError: no network keeps the constraints.
        """
        self._claim()
        config = self.config
        parts = measure_parts(config.space, config.engine, self.folder / PARTS, self._progress)
        inquisitor = Inquisitor(
            config, self.space, self._trainer, parts, self.records, self._progress
        )
        self._probe_references(inquisitor)
        for number in range(1, config.generator.turns + 1):
            self._turn(number, inquisitor)
            self._clean()
            self.write_page(parts)
        finalists = self._finalists(inquisitor)
        best = finalists[0]
        write_study(self.folder, config, self._trainer, finalists, self._references())
        write_best(self.folder, config, self._trainer, best)
        self._clean()
        self.write_page(parts)
        return best

    def write_page(self, parts: list[Sample] | None = None) -> None:
        """Make the page anew from the records."""
        if parts is None:
            # All of them are there, or the rest is measured now.
            parts = measure_parts(
                self.config.space, self.config.engine, self.folder / PARTS, self._progress
            )
        write_page(
            self.page,
            self.config,
            self.space,
            parts,
            self.records.candidates(),
            self.records.turns(),
        )

    def _claim(self) -> None:
        """Write down what this folder is for, or refuse one that is for something else."""
        asked = {
            "search": self.config.model_dump(mode="json", exclude={"budget": {"workers"}}),
            "training": self._training.model_dump(
                mode="json", exclude={"machine": True, "data_root": True}
            ),
        }
        path = self.folder / CONFIG_FILE
        if path.exists():
            if json.loads(path.read_text("utf-8")) != asked:
                raise UsageError(
                    f"the folder {self.folder} holds a search with another config",
                    hint="choose another --out, or delete the folder",
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps(asked, indent=1) + "\n", "utf-8")

    def _references(self) -> list[Candidate]:
        return [c for c in self.records.candidates() if c.origin == "reference"]

    def _probe_references(self, inquisitor: Inquisitor) -> None:
        """Find and train the hand-designed networks that have no record yet."""
        for encoder in self.config.references:
            if all(c.spec["encoder"] != encoder for c in self._references()):
                self._progress.note(f"reference: {encoder}")
                self.records.store(find_reference(encoder, self.config, inquisitor))
        inquisitor.probe([c for c in self._references() if c.status == "open"])

    def _turn(self, number: int, inquisitor: Inquisitor) -> None:
        """One turn: propose and choose, unless a record says who was chosen; then probe."""
        known = [c for c in self.records.candidates() if c.turn < number]
        turn = next((t for t in self.records.turns() if t.number == number), None)
        if turn is None:
            inquisitor.learn(known)
            turn = self._propose(number, inquisitor, known)
        chosen = [c for c in self.records.candidates() if c.key in turn.chosen]
        self._progress.note(
            f"turn {number} of {self.config.generator.turns}: {turn.proposed} proposed, "
            f"{turn.admitted} admitted, {len(chosen)} chosen"
        )
        inquisitor.probe([c for c in chosen if c.status == "open"])

    def _propose(self, number: int, inquisitor: Inquisitor, known: list[Candidate]) -> Turn:
        config = self.config
        generated = [c for c in known if c.genome is not None]
        judgements = [
            Judgement(c.genome, c.key, dataclasses.replace(c.figures, score=c.score or 0.0))
            for c in generated
            if c.genome is not None and c.latency_ms is not None
        ]
        self._progress.start(f"turn {number}: proposing", config.generator.proposals)

        def judge(genome: Genome) -> Judgement:
            self._progress.advance()
            return inquisitor.judge(genome)

        proposals = self._generator.propose(number, judgements, judge)
        self._progress.finish()
        fresh = distinct(proposals, {c.key for c in generated})
        genomes = [c.genome for c in generated if c.genome is not None]
        chosen = choose(fresh, config, number, genomes)
        correlation = inquisitor.estimate.rank_correlation
        turn = Turn(
            number,
            len(fresh),
            sum(indicator(p.figures, config.constraints) for p in fresh),
            tuple(p.key for p in chosen),
            count_choices(proposals, self.space),
            correlation if correlation == correlation else None,
        )
        self.records.store_turn(turn, [inquisitor.candidate(p, number) for p in chosen])
        return turn

    def _finalists(self, inquisitor: Inquisitor) -> list[Candidate]:
        """The best candidates, measured again and trained for longer; the best one first."""
        config = self.config
        done = [c for c in self.records.candidates() if c.origin == "generated"]
        # By the short training alone: on a second call some have had the longer one, too.
        short = {
            c.key: dataclasses.replace(c.figures, score=c.score) for c in done if c.status == "done"
        }
        fit = [c for c in done if c.key in short and indicator(short[c.key], config.constraints)]
        fit.sort(key=lambda c: -performance(short[c.key], config.performance))
        finalists: list[Candidate] = []
        for candidate in fit:
            if len(finalists) == config.budget.finalists:
                break
            if candidate.final_score is None:
                candidate = inquisitor.measure(candidate, rounds=FINAL_ROUNDS)
                self.records.store(candidate)
            if candidate.status == "done":
                finalists.append(candidate)
        if not finalists:
            raise ModelError(
                f"none of the {len(done)} networks that were tried keeps the constraints",
                hint="allow more latency or parameters, or widen the space towards small networks",
            )
        steps, metric = config.budget.final_steps, config.budget.metric
        waiting = [c for c in finalists if c.final_score is None]
        jobs = [self._trainer.job(c.key, c.network, steps) for c in waiting]
        by_key = {c.key: c for c in finalists}
        for outcome in self._trainer.run(jobs):
            if outcome.reason:
                raise ModelError(
                    f"the finalist {by_key[outcome.key].label} could not be trained: "
                    f"{outcome.reason}",
                    hint="lower schedule.learning_rate in the training config",
                )
            candidate = dataclasses.replace(by_key[outcome.key], final_score=outcome.scores[metric])
            by_key[candidate.key] = candidate
            self.records.store(candidate)
            self._progress.note(f"finalist {candidate.final_score:.3f}: {candidate.label}")
        return sorted(by_key.values(), key=lambda c: -performance(c.figures, config.performance))

    def _clean(self) -> None:
        """Short trainings leave their figures; their weights are of no use to anybody."""
        short = f"-{self.config.budget.steps}"
        for folder in (self.folder / RUNS).glob(f"*{short}"):
            for checkpoint in folder.rglob("*.safetensors"):
                checkpoint.unlink()
        gc.collect()
