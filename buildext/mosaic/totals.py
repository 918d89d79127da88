"""Totals: what is counted while the layer goes by, once, batch after batch.

Buildings are counted by block, by source and by size. The limits of sizes follow what people
look for in a town: sheds, houses, rows and blocks, halls.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from buildext.mosaic.grid import BlockId
from buildext.mosaic.outline import SOURCE_NUMBER

# Lower limits in m².
SIZES_M2 = (0, 20, 50, 100, 200, 500, 1000, 5000)


@dataclass(slots=True)
class Count:
    """Buildings of some kind, and their area in m²."""

    buildings: int = 0
    area_m2: float = 0.0

    def add(self, buildings: int, area_m2: float) -> None:
        """Count some more."""
        self.buildings += buildings
        self.area_m2 += area_m2


@dataclass(slots=True)
class Totals:
    """Counts of a whole layer.

    Attributes:
        all: everything.
        by_block: by the block that owns them.
        by_source: by the number of their source; 0 where none is known.
        by_size: one count for each of `SIZES_M2`.
        by_status: by `reg_status`.
        at_edge: those that touch an edge.
        confidence_sum: of the confidences.
    """

    all: Count = field(default_factory=Count)
    by_block: dict[BlockId, Count] = field(default_factory=dict)
    by_source: dict[int, Count] = field(default_factory=dict)
    by_size: list[Count] = field(default_factory=lambda: [Count() for _ in SIZES_M2])
    by_status: dict[str, Count] = field(default_factory=dict)
    at_edge: Count = field(default_factory=Count)
    confidence_sum: float = 0.0

    def add(self, block: BlockId, batch: pa.RecordBatch) -> None:
        """Count a batch of a block's features, in `outline.BLOCK_SCHEMA`."""
        area_m2 = batch.column("area_m2").to_numpy()
        total_m2 = float(area_m2.sum())
        self.all.add(len(batch), total_m2)
        self.by_block.setdefault(block, Count()).add(len(batch), total_m2)
        size = np.searchsorted(SIZES_M2, area_m2, side="right") - 1
        for place, count in enumerate(self.by_size):
            count.add(*_where(size == place, area_m2))
        source = batch.column(SOURCE_NUMBER).to_numpy()
        for number in np.unique(source).tolist():
            self.by_source.setdefault(number, Count()).add(*_where(source == number, area_m2))
        status = batch.column("reg_status").dictionary_encode()
        code = status.indices.to_numpy()
        for place, name in enumerate(status.dictionary.to_pylist()):
            self.by_status.setdefault(name, Count()).add(*_where(code == place, area_m2))
        self.at_edge.add(*_where(batch.column("touches_edge").to_numpy(False), area_m2))
        self.confidence_sum += float(pc.sum(batch.column("confidence")).as_py() or 0.0)


def _where(chosen: NDArray[np.bool_], area_m2: NDArray[np.float64]) -> tuple[int, float]:
    return int(chosen.sum()), float(area_m2[chosen].sum())
