"""Features: footprints with what a GIS user filters on, as columns.

The pipeline hands over shaped buildings on the grid plane; a feature is the same building in the
scene's CRS with its attributes. Features travel in Arrow record batches, the form in which every
writer takes them: no Python object per building between here and the file.

| column | type | meaning |
|---|---|---|
| `id` | int64 | running number in the order in which buildings are found |
| `confidence` | float64 | mean building probability inside, 0 to 1 |
| `area_m2` | float64 | area without holes, true square metres in any CRS |
| `perimeter_m` | float64 | length of the outer ring and of the holes, true metres |
| `reg_status` | string | `regularised`, `simplified` or `kept` as it was found |
| `touches_edge` | bool | cut by the scene's edge or by pixels without data |
| `geometry` | binary | WKB polygon in the scene's CRS, x before y, outer ring counter-clockwise |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import shapely

from buildext.footprints.frame import GridFrame
from buildext.footprints.metric import measure, metric_of

if TYPE_CHECKING:
    from buildext.footprints.shape import ShapedBuilding

GEOMETRY = "geometry"

FEATURE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("confidence", pa.float64()),
        pa.field("area_m2", pa.float64()),
        pa.field("perimeter_m", pa.float64()),
        pa.field("reg_status", pa.string()),
        pa.field("touches_edge", pa.bool_()),
        pa.field(GEOMETRY, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"}),
    ]
)


def to_batch(shaped: Sequence[ShapedBuilding], frame: GridFrame, first_id: int) -> pa.RecordBatch:
    """Turn shaped buildings into features.

    Args:
        shaped: buildings on the grid plane.
        frame: where the grid plane lies.
        first_id: `id` of the first building; the others follow in order.

    Returns:
        Record batch of `FEATURE_SCHEMA`. Confidence is rounded to 4 decimals, metres and square
        metres to 2: a centimetre is finer than any image, and text formats stay readable.
    """
    polygons = frame.to_crs(np.array([building.polygon for building in shaped], dtype=np.object_))
    area_m2, perimeter_m = measure(polygons, metric_of(frame))
    confidence = np.array([building.raw.confidence for building in shaped], np.float64)
    columns = [
        pa.array(np.arange(first_id, first_id + len(shaped), dtype=np.int64)),
        pa.array(confidence.round(4)),
        pa.array(area_m2.round(2)),
        pa.array(perimeter_m.round(2)),
        pa.array([building.reg_status for building in shaped], pa.string()),
        pa.array([building.raw.touches_edge for building in shaped], pa.bool_()),
        pa.array(shapely.to_wkb(polygons), pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=FEATURE_SCHEMA)


def polygons_of(batch: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    """The polygons `(n,)` of a batch, in its CRS."""
    polygons: np.ndarray[tuple[int], np.dtype[np.object_]] = shapely.from_wkb(
        batch.column(GEOMETRY).to_numpy(zero_copy_only=False)
    )
    return polygons
