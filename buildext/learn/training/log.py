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
    """Appends `(step, name, value)` to `log.csv` and to TensorBoard in the same folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG_FILE
        fresh = not self._path.exists()
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        if fresh:
            self._rows.writerow(COLUMNS)
        self._curves = SummaryWriter(str(folder / "tensorboard"))

    def add(self, step: int, values: dict[str, float]) -> None:
        """Record some values of one step."""
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
