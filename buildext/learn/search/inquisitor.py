"""The inquisitor: it probes what is proposed, and what it finds changes what is believed.

Four probes, from the cheapest to the dearest:

1. a *sketch*: parameters, multiply-accumulates and the work by kind, counted;
2. *predictions*: latency by the latency model, score by the estimate, from zero-cost proxies;
3. *measuring*: latency and int8 share on the engine;
4. *training*: a short one, by the engine that trains everything else.

Every proposal of a turn goes through the first two, and few through all four. After each turn both
models are fitted anew to all that was measured and trained.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from buildext.errors import BuildextError, OutputError
from buildext.learn.search.candidate import Candidate, Records, trained
from buildext.learn.search.config import SearchConfig
from buildext.learn.search.estimate import Estimate, features_of, fit_estimate
from buildext.learn.search.generator import Judgement
from buildext.learn.search.latency import LatencyModel, fit_latency
from buildext.learn.search.parts import Sample
from buildext.learn.search.performance import Figures, violations
from buildext.learn.search.proxies import proxies_of
from buildext.learn.search.space import Genome, Space, key_of, label_of
from buildext.learn.search.timing import time_network
from buildext.learn.search.trainings import Trainer
from buildext.learn.search.work import Sketch, sketch
from buildext.learn.training.tiles.tensors import Batch
from buildext.models.card import NetworkSpec
from buildext.progress import Progress

log = logging.getLogger(__name__)

FINAL_ROUNDS = 3


class Inquisitor:
    """Probes networks.

    Args:
        config: of the search.
        space: what genomes mean.
        trainer: does the trainings.
        parts: measured, for the latency model.
        records: where findings are kept.
        progress: told each probe.
    """

    def __init__(
        self,
        config: SearchConfig,
        space: Space,
        trainer: Trainer,
        parts: Sequence[Sample],
        records: Records,
        progress: Progress,
    ) -> None:
        self._config, self._space, self._trainer = config, space, trainer
        self._parts, self._records, self._progress = parts, records, progress
        self._sketches: dict[str, Sketch] = {}
        self._proxies: dict[str, dict[str, float]] = {}
        self._batch: Batch | None = None
        self.latency: LatencyModel = fit_latency(parts)
        self.estimate: Estimate = fit_estimate(())

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Fit both models to what is known."""
        measured = [
            Sample(c.label, c.works, c.latency_ms)
            for c in candidates
            if c.works and c.latency_ms is not None
        ]
        self.latency = fit_latency(self._parts, measured)
        self.estimate = fit_estimate(
            [
                (features_of(c.proxies, c.works), c.score)
                for c in trained(list(candidates))
                if c.score is not None
            ]
        )

    def judge(self, genome: Genome) -> Judgement:
        """Predict what a network would come to.

        One that breaks a constraint is not worth its proxies: it counts as one without a score.

        Raises:
            ModelError: it cannot be built.
        """
        spec = self._space.spec(genome)
        key = key_of(spec)
        counted = self._sketch(key, spec)
        latency_ms = self.latency.predict(counted.works)
        figures = Figures(counted.parameters, counted.macs, latency_ms)
        score = 0.0
        if all(value <= 0 for value in violations(figures, self._config.constraints).values()):
            features = features_of(self._proxies_of(key, spec, counted), counted.works)
            score = self.estimate.predict(features)
        return Judgement(genome, key, dataclasses.replace(figures, score=score))

    def candidate(self, judgement: Judgement, turn: int) -> Candidate:
        """A chosen proposal, with the predictions that it was chosen by."""
        spec = self._space.spec(judgement.genome)
        counted = self._sketch(judgement.key, spec)
        return Candidate(
            judgement.key,
            label_of(spec),
            "generated",
            turn,
            spec.model_dump(mode="json"),
            counted.parameters,
            counted.macs,
            judgement.genome,
            counted.works,
            self._proxies_of(judgement.key, spec, counted),
            judgement.figures.latency_ms,
            judgement.figures.score if self.estimate.believed else None,
        )

    def reference(self, spec: NetworkSpec) -> Candidate:
        """A hand-designed network, sketched."""
        counted = sketch(spec, self._config.engine.tile_px)
        values = spec.model_dump(mode="json")
        sizes = counted.parameters, counted.macs
        return Candidate(key_of(spec), label_of(spec), "reference", 0, values, *sizes)

    def measure(self, candidate: Candidate, *, rounds: int = 1) -> Candidate:
        """The candidate with its latency, and its int8 share where a constraint asks for it.

        More than one round measures it again, however often it was measured before.
        """
        if candidate.status == "failed" or (candidate.latency_ms is not None and rounds == 1):
            return candidate
        limits = self._config.constraints
        try:
            found = time_network(
                candidate.network,
                self._trainer.channels,
                self._config.engine,
                rounds=rounds,
                int8=rounds > 1 or limits.int8_share > 0,
            )
        except OutputError:
            raise
        except (BuildextError, RuntimeError) as error:
            reason = " ".join(f"not measured: {error}".split())[:300]
            return dataclasses.replace(candidate, status="failed", reason=reason)
        share = found.int8_share if found.int8_share is not None else candidate.int8_share
        candidate = dataclasses.replace(
            candidate, latency_ms=found.latency_ms, int8_share=share, engine=found.engine
        )
        # The floor of the score is judged once there is one, in the end.
        figures = dataclasses.replace(candidate.figures, score=None)
        broken = {k: v for k, v in violations(figures, limits).items() if v > 0}
        if broken:
            reason = ", ".join(f"{name} {100 * value:+.0f} %" for name, value in broken.items())
            return dataclasses.replace(candidate, status="rejected", reason=reason)
        return candidate

    def probe(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Measure all, then train those that keep the constraints; findings are stored at once."""
        self._progress.start("measuring networks", len(candidates))
        found = {}
        for candidate in candidates:
            found[candidate.key] = self.measure(candidate)
            self._records.store(found[candidate.key])
            self._progress.advance()
        self._progress.finish()
        steps, metric = self._config.budget.steps, self._config.budget.metric
        waiting = [c for c in found.values() if c.status == "open"]
        jobs = [self._trainer.job(c.key, c.network, steps) for c in waiting]
        for outcome in self._trainer.run(jobs):
            candidate = found[outcome.key]
            if outcome.reason or metric not in outcome.scores:
                reason = outcome.reason or f"the run has no score {metric!r}"
                candidate = dataclasses.replace(candidate, status="failed", reason=reason)
            else:
                candidate = dataclasses.replace(
                    candidate,
                    score=outcome.scores[metric],
                    seconds=outcome.seconds,
                    status="done",
                )
            found[outcome.key] = candidate
            self._records.store(candidate)
            self._progress.note(_line(candidate))
        return list(found.values())

    def _sketch(self, key: str, spec: NetworkSpec) -> Sketch:
        if key not in self._sketches:
            self._sketches[key] = sketch(spec, self._config.engine.tile_px)
        return self._sketches[key]

    def _proxies_of(self, key: str, spec: NetworkSpec, counted: Sketch) -> dict[str, float]:
        if key not in self._proxies:
            if self._batch is None:
                self._batch = self._trainer.batch()
            config = self._trainer.config(spec, 1)
            self._proxies[key] = proxies_of(spec, counted, config, self._batch)
        return self._proxies[key]


def _line(candidate: Candidate) -> str:
    if candidate.score is None:
        return f"  {candidate.label}: {candidate.status}: {candidate.reason}"
    return f"  {candidate.score:.3f}, {candidate.latency_ms:.1f} ms: {candidate.label}"
