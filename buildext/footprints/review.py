"""A review layer: the footprints that a person should look at first.

Nobody checks a hundred thousand polygons, but many will check a hundred if they are the right ones.
Each building is asked for a few *doubts*, each between 0 (nothing to say) and 1 (as odd as it gets)
along a ramp between two limits:

| doubt | grows | weight |
|---|---|---|
| low confidence | from 0.85 down to 0.5 | 1 |
| tiny | from 20 m² down to 5 m² | 0.4 |
| huge | from 5 000 m² up to 50 000 m², in logarithm | 0.6 |
| elongated | width over length, from 0.2 down to 0.05 | 0.6 |
| ragged | compactness 4πA/P² (a square has 0.79), from 0.35 down to 0.1 | 0.6 |
| many vertices | from 40 up to 160 | 0.4 |
| shape kept as found | where regularisation gave up | 0.4 |
| cut by the edge | where `touches_edge` | 0.2 |

Doubts of weight w and degree d join into one score as independent reasons would,

    review_score = 1 - Π (1 - w·d)

so that one strong doubt suffices and several weak ones add up. `review_reason` names the doubts
that count at least 0.1, the strongest first. A score depends on its building alone, on no average
of the scene: it is the same in a part of the scene, and the worst can be kept in a bounded pool
while buildings stream by.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from buildext.footprints.destination import FeatureWriter
from buildext.footprints.features import FEATURE_SCHEMA, GEOMETRY, polygons_of
from buildext.footprints.frame import Polygons, as_pyproj
from buildext.footprints.write import open_writer

FloatArray = npt.NDArray[np.float64]

REVIEWED_FEATURES = 5000
_NAMED_FROM = 0.1

REVIEW_SCHEMA = pa.schema(
    [
        *[column for column in FEATURE_SCHEMA if column.name != GEOMETRY],
        pa.field("review_score", pa.float64()),
        pa.field("review_reason", pa.string()),
        FEATURE_SCHEMA.field(GEOMETRY),
    ]
)


def doubts(batch: pa.RecordBatch, *, degrees: bool) -> dict[str, FloatArray]:
    """The weighted doubts about each feature of a batch.

    Args:
        batch: features of `FEATURE_SCHEMA`.
        degrees: coordinates are longitude and latitude.

    Returns:
        Doubt → `(n,)` between 0 and its weight.
    """
    polygons = polygons_of(batch)
    area_m2 = batch.column("area_m2").to_numpy()
    perimeter_m = batch.column("perimeter_m").to_numpy()
    compactness = 4 * math.pi * area_m2 / np.maximum(perimeter_m, 1e-9) ** 2
    kept = pc.equal(batch.column("reg_status"), "kept").to_numpy(zero_copy_only=False)
    cut = batch.column("touches_edge").to_numpy(zero_copy_only=False)
    vertices = shapely.get_num_coordinates(polygons)
    return {
        "low confidence": _ramp(batch.column("confidence").to_numpy(), 0.85, 0.5),
        "tiny": 0.4 * _ramp(area_m2, 20, 5),
        "huge": 0.6 * _ramp(np.log(np.maximum(area_m2, 1)), math.log(5_000), math.log(50_000)),
        "elongated": 0.6 * _ramp(_width_over_length(polygons, degrees), 0.2, 0.05),
        "ragged": 0.6 * _ramp(compactness, 0.35, 0.1),
        "many vertices": 0.4 * _ramp(vertices.astype(np.float64), 40, 160),
        "shape kept as found": 0.4 * kept.astype(np.float64),
        "cut by the edge": 0.2 * cut.astype(np.float64),
    }


def reviewed(batch: pa.RecordBatch, *, degrees: bool) -> pa.RecordBatch:
    """A batch with `review_score` and `review_reason`, of `REVIEW_SCHEMA`."""
    found = doubts(batch, degrees=degrees)
    names = np.array(list(found))
    degree = np.column_stack(list(found.values()))
    score = 1 - np.prod(1 - degree, axis=1)
    strongest = np.argsort(-degree, axis=1, kind="stable")
    reasons = [
        ", ".join(names[k] for k in order if row[k] >= _NAMED_FROM)
        for row, order in zip(degree, strongest, strict=True)
    ]
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns["review_score"] = pa.array(score.round(4))
    columns["review_reason"] = pa.array(reasons, pa.string())
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in REVIEW_SCHEMA.names], schema=REVIEW_SCHEMA
    )


class ReviewPool:
    """Keeps the most doubtful of all features that pass by, at most `limit` of them."""

    def __init__(self, crs: Any, limit: int = REVIEWED_FEATURES) -> None:
        self._degrees = crs is not None and as_pyproj(crs).is_geographic
        self._limit = limit
        self._pool: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Consider the features of a batch."""
        self._pool.append(reviewed(batch, degrees=self._degrees))
        if sum(map(len, self._pool)) >= 2 * self._limit:
            self._pool = self.worst().to_batches()

    def worst(self) -> pa.Table:
        """What is kept, the most doubtful first; of equals, the lower `id`."""
        table = pa.Table.from_batches(self._pool, schema=REVIEW_SCHEMA)
        order = pc.sort_indices(
            table, sort_keys=[("review_score", "descending"), ("id", "ascending")]
        )
        return table.take(order[: self._limit]).combine_chunks()


@contextlib.contextmanager
def open_review(
    path: Path,
    crs: Any,
    *,
    metadata: Mapping[str, Any],
    overwrite: bool = False,
    limit: int = REVIEWED_FEATURES,
) -> Iterator[FeatureWriter]:
    """Open a review layer, in any of the formats of `open_writer`.

    The features are held back until the end, when it is known which are the most doubtful.

    Args:
        path: the output.
        crs: CRS of the features; None: pixels.
        metadata: settings of the run.
        overwrite: replace an existing file.
        limit: how many features to keep.

    Raises:
        UsageError, OutputError: see `open_writer`.
    """
    with open_writer(
        path, crs, metadata=metadata, overwrite=overwrite, layer="review", schema=REVIEW_SCHEMA
    ) as writer:
        pool = ReviewPool(crs, limit)
        yield pool
        for batch in pool.worst().to_batches():
            writer.write(batch)


def _ramp(values: FloatArray, harmless: float, worst: float) -> FloatArray:
    """0 up to `harmless`, 1 from `worst` on, straight in between; `worst` may be the smaller."""
    return np.clip((values - harmless) / (worst - harmless), 0, 1)


def _width_over_length(polygons: Polygons, degrees: bool) -> FloatArray:
    """Sides of the smallest enclosing rectangle in any direction, shorter over longer, `(n,)`."""
    if degrees:
        xy, owner = shapely.get_coordinates(polygons, return_index=True)
        _, low, _, high = shapely.bounds(polygons).T
        narrowing = np.cos(np.radians(0.5 * (low + high)))
        xy[:, 0] *= narrowing[owner]
        polygons = shapely.set_coordinates(polygons.copy(), xy)
    corners = shapely.get_coordinates(shapely.oriented_envelope(polygons)).reshape(-1, 5, 2)
    sides = np.linalg.norm(np.diff(corners[:, :3], axis=1), axis=2)
    ratio: FloatArray = sides.min(axis=1) / np.maximum(sides.max(axis=1), 1e-12)
    return ratio
