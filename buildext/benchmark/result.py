"""The result of a comparison: rows, which of them are worth having, and the files of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from buildext.benchmark.accuracy import Accuracy
from buildext.benchmark.arms import Arm
from buildext.benchmark.speed import Speed

COLUMNS = (
    "rank", "model", "engine", "arithmetic", "pixel_f1", "object_f1", "mp_s", "slowest_mp_s",
    "fastest_mp_s", "best_by_pixels", "best_by_objects", "tile_px", "threads", "tiles_in_flight",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """An arm with what was measured.

    Attributes:
        arm: which.
        by_scene: accuracy, by the name of the scene.
        speed: of the bare engine.
    """

    arm: Arm
    by_scene: dict[str, Accuracy]
    speed: Speed

    @property
    def pixel_f1(self) -> float:
        """Mean over the scenes."""
        return sum(one.pixel_f1 for one in self.by_scene.values()) / len(self.by_scene)

    @property
    def object_f1(self) -> float | None:
        """Mean over the scenes whose labels are single buildings."""
        found = [one.object_f1 for one in self.by_scene.values() if one.object_f1 is not None]
        return sum(found) / len(found) if found else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows, the most accurate first, and the machine that they were measured on."""

    rows: tuple[Row, ...]
    environment: dict[str, dict[str, str]]

    def best(self, *, by_objects: bool = False) -> frozenset[Arm]:
        """Arms that no other one beats in accuracy and speed at once (Pareto-best)."""
        points = [
            (row.arm, row.object_f1 if by_objects else row.pixel_f1, row.speed.median_mp_s)
            for row in self.rows
        ]
        known = [(arm, score, speed) for arm, score, speed in points if score is not None]
        return frozenset(
            arm
            for arm, score, speed in known
            if not any(
                other >= score and faster >= speed and (other > score or faster > speed)
                for _, other, faster in known
            )
        )

    def table(self) -> list[dict[str, Any]]:
        """A plain dictionary a row, with the keys of `COLUMNS`."""
        pixels, objects = self.best(), self.best(by_objects=True)
        return [
            dict(
                zip(
                    COLUMNS,
                    (
                        rank,
                        row.arm.name,
                        row.arm.engine,
                        row.arm.arithmetic,
                        round(row.pixel_f1, 4),
                        None if row.object_f1 is None else round(row.object_f1, 4),
                        round(row.speed.median_mp_s, 4),
                        round(min(row.speed.rounds_mp_s), 4),
                        round(max(row.speed.rounds_mp_s), 4),
                        row.arm in pixels,
                        row.arm in objects,
                        row.speed.tile_px,
                        row.speed.threads,
                        row.speed.tiles_in_flight,
                    ),
                    strict=True,
                )
            )
            for rank, row in enumerate(self.rows, 1)
        ]

    def as_json(self) -> str:
        """Everything, scene by scene and round by round."""
        rows = [
            {
                **plain,
                "source": row.arm.source,
                "rounds_mp_s": [round(speed, 4) for speed in row.speed.rounds_mp_s],
                "scenes": {
                    name: {"pixel_f1": one.pixel_f1, "object_f1": one.object_f1}
                    for name, one in row.by_scene.items()
                },
            }
            for plain, row in zip(self.table(), self.rows, strict=True)
        ]
        return json.dumps({"rows": rows, "environment": self.environment}, indent=2) + "\n"

    def as_csv(self) -> str:
        """The table."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.table())
        return text.getvalue()


def ranked(rows: Sequence[Row], environment: dict[str, dict[str, str]]) -> Comparison:
    """A comparison, by pixel F1 and, where that is equal, by speed."""
    order = sorted(rows, key=lambda row: (row.pixel_f1, row.speed.median_mp_s), reverse=True)
    return Comparison(tuple(order), environment)
