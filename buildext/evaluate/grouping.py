"""Grouping: the scores of a partition's groups, all by the same rules.

Objects and pairs are counted by units of ground, the tiles or runs of tiles that the bootstrap
draws, so that each figure of each group has its interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.evaluate import scoring
from buildext.evaluate.bootstrap import units_of
from buildext.evaluate.buildings import Pairs
from buildext.evaluate.comparison import LADDER, Comparison, Count, Partition, count_objects
from buildext.evaluate.matching import Matches
from buildext.evaluate.scores import LadderScores, ObjectScores, SegmentationScores
from buildext.evaluate.shape_scores import ShapeScores, shape_scores
from buildext.evaluate.tally import Tiles


@dataclass(frozen=True, slots=True)
class ObjectGroup:
    """What can be said of the objects of one group."""

    objects: ObjectScores
    ladder: LadderScores
    shapes: ShapeScores
    segmentation: SegmentationScores


class Grouper:
    """Scores of objects by group.

    Args:
        comparison: the matched objects.
        pairs: their measures.
        tiles: the scored tiles.
        min_iou: smallest IoU of a match.
        resamples: bootstrap samples.
        seed: of the bootstrap.

    Attributes:
        pred_tile: `(N,)` tile of each prediction.
        ref_tile: `(M,)` tile of each true object.
    """

    def __init__(
        self,
        comparison: Comparison,
        pairs: Pairs,
        tiles: Tiles,
        *,
        min_iou: float,
        resamples: int,
        seed: int,
    ) -> None:
        self._comparison = comparison
        self._pairs = pairs
        self._min_iou = min_iou
        self._resamples, self._seed = resamples, seed
        unit = units_of(len(tiles))
        self._units = int(unit[-1]) + 1
        self.pred_tile = tiles.of_objects(comparison.pred.polygons)
        self.ref_tile = tiles.of_objects(comparison.ref.polygons)
        self._pred_unit, self._ref_unit = unit[self.pred_tile], unit[self.ref_tile]

    def whole(self) -> ObjectGroup:
        """Scores of all objects."""
        everything = Partition(
            ("all",),
            (None,),
            np.zeros(len(self.ref_tile), np.intp),
            np.zeros(len(self.pred_tile), np.intp),
        )
        return self.groups(everything)[0]

    def groups(self, partition: Partition) -> list[ObjectGroup]:
        """Scores of each group."""
        comparison = self._comparison
        counts = self._count(partition, comparison.matches)
        ladder = np.stack([self._count(partition, matches) for matches in comparison.ladder])
        group_of_pair = partition.ref[self._pairs.ref]
        draw = {"resamples": self._resamples, "seed": self._seed}
        return [
            ObjectGroup(
                objects=scoring.object_scores(counts[g], self._min_iou, **draw),
                ladder=scoring.ladder_scores(ladder[:, g], LADDER, **draw),
                shapes=shape_scores(
                    self._pairs,
                    group_of_pair == g,
                    self._ref_unit[self._pairs.ref],
                    self._units,
                    **draw,
                ),
                segmentation=self._segmentation(partition.ref == g, partition.pred == g),
            )
            for g in range(len(partition.names))
        ]

    def _count(self, partition: Partition, matches: Matches) -> Count:
        return count_objects(
            self._comparison,
            matches,
            self._pred_unit,
            self._ref_unit,
            self._units,
            partition,
        )

    def _segmentation(self, ref: NDArray[np.bool_], pred: NDArray[np.bool_]) -> SegmentationScores:
        found = self._comparison.segmentation
        pieces, merged = found.pieces[ref], found.merged[pred]
        return SegmentationScores(
            split=int((pieces > 0).sum()),
            pieces=int(pieces.sum()),
            merging=int((merged > 0).sum()),
            merged=int(merged.sum()),
        )
