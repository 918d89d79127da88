"""The training log: one CSV for people and scripts, TensorBoard files for curves."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

LOG_FILE = "log.csv"
COLUMNS = ("step", "name", "value")
HELD_OUT = "held_out/"


class TrainingLog:
    """Appends `(step, name, value)` to `log.csv` and to TensorBoard in the same folder.

    Args:
        folder: of the run.
        done: steps in the checkpoint that the run goes on from; what was logged of later steps
            is dropped, since they are done again.
        writes: false in all processes of a run but one: nothing is written then.
    """

    def __init__(self, folder: Path, done: int = 0, writes: bool = True) -> None:
        self._writes = writes
        if not writes:
            return
        path = folder / LOG_FILE
        kept = []
        if done and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.reader(file) if row[0].isdigit() and int(row[0]) <= done]
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerows([list(COLUMNS), *kept])
        self._curves = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Record some values of one step."""
        if not self._writes:
            return
        for name, value in values.items():
            self._rows.writerow([step, name, f"{value:.6g}"])
            self._curves.add_scalar(name, value, step)
        self._file.flush()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writes:
            self._file.close()
            self._curves.close()


def last_scores(folder: Path) -> dict[str, float]:
    """The latest held-out scores in a run's log, by `dataset/channel`; empty without any."""
    path = folder / LOG_FILE
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["name"].startswith(HELD_OUT)]
    return {row["name"].removeprefix(HELD_OUT): float(row["value"]) for row in rows}
