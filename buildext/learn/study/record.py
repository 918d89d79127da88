"""One run's record: what is left of a run when its checkpoint is gone.

A record is a small JSON file, `records/<key>.json`, complete or not there at all. A study that was
interrupted finds out from its records what is left to do; its table and its page are made from
nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from buildext.atomic import atomic_path
from buildext.errors import InputError

SUFFIX = ".json"
# What the colour threshold is compared with: the score on the run's own held-out blocks.
HELD_OUT_SCORE = "mean/building"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What came out of one run.

    Attributes:
        key: hash of the resolved config, its seed included.
        seed: of everything random in the run.
        status: `failed` runs have a reason and no scores.
        config: resolved, as plain values.
        reason: why it failed.
        scores: F1 by `dataset/channel`, with `mean/...` and perhaps `test/...`.
        baseline: F1 of the best colour threshold on the same held-out blocks; None where the run
            has none.
        baseline_rule: that threshold in words.
        seconds: wall clock of the training.
        steps: optimiser steps.
        tiles_s: training tiles a second.
        parameters: of the network.
        macs_256: multiply-accumulates for a 256 px image.
        method: how it was trained.
    """

    key: str
    seed: int
    status: Literal["done", "failed"]
    config: Mapping[str, Any]
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    baseline: float | None = None
    baseline_rule: str = ""
    seconds: float | None = None
    steps: int | None = None
    tiles_s: float | None = None
    parameters: int | None = None
    macs_256: int | None = None
    method: str = ""

    @property
    def trained(self) -> bool | None:
        """Whether it beats the colour threshold; None where there is nothing to compare."""
        if self.status == "failed" or self.baseline is None:
            return None
        # Written so that a score of nan counts as not trained.
        return self.scores.get(HELD_OUT_SCORE, math.nan) > self.baseline

    @property
    def network_key(self) -> str:
        """The network's part of the config as text: runs that agree in it are equally fast."""
        return json.dumps(self.config["network"], sort_keys=True)


class RecordStore:
    """The records of a study, one file a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: str) -> Path:
        """Where the record of a run lies, or will."""
        return self._folder / f"{key}{SUFFIX}"

    def load(self, key: str) -> RunRecord | None:
        """The record of a run; None if it has none.

        Raises:
            InputError: the file is no record.
        """
        path = self.path(key)
        try:
            return RunRecord(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{path} is no record of a run: {error}", hint="delete it; the run is done again"
            ) from error

    def store(self, record: RunRecord) -> None:
        """Write a record; a record of the same run is replaced."""
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(record), indent=1, ensure_ascii=False)
        with atomic_path(self.path(record.key), overwrite=True) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
