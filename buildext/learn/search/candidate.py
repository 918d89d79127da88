"""Candidates and turns: what a search knows, on disk.

    turns/01.json            what a turn proposed, and whom it chose
    candidates/<key>.json    a network with everything that was found out of it

Each file is complete or not there. The generator's state is nothing but these files: a search that
was killed reads them, finds out what is missing, and goes on.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from buildext.atomic import atomic_path
from buildext.errors import InputError
from buildext.learn.search.performance import Figures
from buildext.learn.search.space import Genome
from buildext.learn.search.work import Work, Works
from buildext.models.card import NetworkSpec

Origin = Literal["generated", "reference"]
Status = Literal["open", "done", "rejected", "failed"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network with everything that was found out of it so far.

    Attributes:
        key: hash of its spec.
        label: in one line.
        origin: made by the generator, or a hand-designed encoder to compare with.
        turn: that chose it; 0 for references.
        spec: as plain values.
        parameters: of the whole network.
        macs: of one tile.
        genome: None for references.
        works: by kind of part; none for references.
        proxies: zero-cost ones.
        predicted_ms: before it was measured.
        estimate: of its score, before it was trained; None where none was asked for.
        latency_ms: measured.
        int8_share: once quantised.
        engine: that measured it.
        score: of the short training.
        final_score: of the longer training that finalists get.
        seconds: of the short training.
        status: `rejected` where what was measured breaks a constraint; it is not trained then.
        reason: why it failed or was rejected.
    """

    key: str
    label: str
    origin: Origin
    turn: int
    spec: Mapping[str, Any]
    parameters: int
    macs: int
    genome: Genome | None = None
    works: Works = field(default_factory=dict)
    proxies: Mapping[str, float] = field(default_factory=dict)
    predicted_ms: float | None = None
    estimate: float | None = None
    latency_ms: float | None = None
    int8_share: float | None = None
    engine: str = ""
    score: float | None = None
    final_score: float | None = None
    seconds: float | None = None
    status: Status = "open"
    reason: str = ""

    @property
    def network(self) -> NetworkSpec:
        """The architecture."""
        return NetworkSpec.model_validate(self.spec)

    @property
    def figures(self) -> Figures:
        """As far as they were measured."""
        assert self.latency_ms is not None
        score = self.final_score if self.final_score is not None else self.score
        return Figures(self.parameters, self.macs, self.latency_ms, score, self.int8_share)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of generator and inquisitor came to.

    Attributes:
        number: from 1.
        proposed: networks judged by prediction, each once.
        admitted: of these, how many keep the constraints by prediction.
        chosen: keys of those that were measured and trained.
        choices: how often each choice of each parameter was proposed.
        rank_correlation: of the estimate that the turn was chosen by.
    """

    number: int
    proposed: int
    admitted: int
    chosen: tuple[str, ...]
    choices: Mapping[str, Mapping[str, int]]
    rank_correlation: float | None


class Records:
    """The files of a search.

    Args:
        folder: of the search.
    """

    def __init__(self, folder: Path) -> None:
        self._turns = folder / "turns"
        self._candidates = folder / "candidates"

    def candidates(self) -> list[Candidate]:
        """All of them: references first, then turn by turn in the order in which they were chosen.

        Raises:
            InputError: a file is damaged.
        """
        found = [_candidate(path) for path in sorted(self._candidates.glob("*.json"))]
        order = {key: i for turn in self.turns() for i, key in enumerate(turn.chosen)}
        # What a turn wrote that was killed before it was complete is not known to anybody.
        known = [c for c in found if c.origin == "reference" or c.key in order]
        return sorted(known, key=lambda c: (c.turn, order.get(c.key, 0), c.label))

    def turns(self) -> list[Turn]:
        """Turns that are complete as far as their choice goes."""
        return [_turn(path) for path in sorted(self._turns.glob("*.json"))]

    def store(self, candidate: Candidate) -> None:
        """Write a candidate, in place of an older state of it."""
        _write(self._candidates / f"{candidate.key}.json", dataclasses.asdict(candidate))

    def store_turn(self, turn: Turn, chosen: list[Candidate]) -> None:
        """Write those chosen, then the turn, which makes them known."""
        for candidate in chosen:
            self.store(candidate)
        _write(self._turns / f"{turn.number:02d}.json", dataclasses.asdict(turn))


def _candidate(path: Path) -> Candidate:
    values = _read(path)
    try:
        values["works"] = {kind: Work(**work) for kind, work in values["works"].items()}
        return Candidate(**values)
    except (KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _turn(path: Path) -> Turn:
    values = _read(path)
    try:
        return Turn(**{**values, "chosen": tuple(values["chosen"])})
    except (KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise _damaged(path, error) from error
    return values


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is no record of a search: {error}",
        hint="delete the folder's turns/ and candidates/ to begin anew",
    )


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")


def trained(candidates: list[Candidate]) -> Iterator[Candidate]:
    """Those of the generator's that have a score."""
    return (c for c in candidates if c.origin == "generated" and c.score is not None)
