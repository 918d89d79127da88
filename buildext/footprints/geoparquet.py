"""GeoParquet 1.1: features in columns, in row groups that a reader can skip by their bounding box.

The file's `geo` metadata names the geometry column and its CRS (PROJJSON) and says that the column
`bbox`, a struct of xmin, ymin, xmax, ymax, covers each geometry. Parquet keeps the minimum and
maximum of every column in every row group, so a reader that wants one quarter of a city fetches
only the groups that touch it.
See https://geoparquet.org/releases/v1.1.0/.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from buildext.footprints.destination import Destination, FeatureWriter
from buildext.footprints.features import GEOMETRY, polygons_of
from buildext.footprints.frame import as_pyproj

ROW_GROUP_FEATURES = 50_000
BBOX = "bbox"
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_NOWHERE = np.array([np.inf, np.inf, -np.inf, -np.inf])
_BBOX_FIELD = pa.field(BBOX, pa.struct([(side, pa.float64()) for side in _SIDES]), nullable=False)


class _GeoParquetWriter:
    """Gathers batches into row groups and the extent of all of them."""

    def __init__(self, file: pq.ParquetWriter, destination: Destination) -> None:
        self._file = file
        self._destination = destination
        self._waiting: list[pa.RecordBatch] = []
        self._extent = _NOWHERE.copy()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch; a full row group goes to the file."""
        with self._destination.output_errors():
            bounds = shapely.bounds(polygons_of(batch))
            self._extend(bounds)
            columns = [pa.array(side) for side in bounds.T]
            covering = pa.StructArray.from_arrays(columns, names=_SIDES)
            self._waiting.append(batch.append_column(_BBOX_FIELD, covering))
            if sum(map(len, self._waiting)) >= ROW_GROUP_FEATURES:
                self._flush()

    def finish(self) -> None:
        """Write what waits and the metadata that is only known now."""
        self._flush()
        self._file.add_key_value_metadata(
            {
                "geo": json.dumps(_geo(self._destination.crs, self._extent)),
                "buildext": json.dumps(self._destination.metadata),
            }
        )

    def _extend(self, bounds: npt.NDArray[np.float64]) -> None:
        if len(bounds):
            self._extent[:2] = np.minimum(self._extent[:2], bounds[:, :2].min(axis=0))
            self._extent[2:] = np.maximum(self._extent[2:], bounds[:, 2:].max(axis=0))

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting)
            self._file.write_table(table, row_group_size=ROW_GROUP_FEATURES)
            self._waiting.clear()


def _geo(crs: Any, extent: npt.NDArray[np.float64]) -> dict[str, Any]:
    """What GeoParquet wants to know of the columns; an extent that is not known yet is left out."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": None if crs is None else as_pyproj(crs).to_json_dict(),
        "edges": "planar",
        "orientation": "counterclockwise",
        "covering": {"bbox": {side: [BBOX, side] for side in _SIDES}},
    }
    if np.isfinite(extent).all():
        column["bbox"] = extent.tolist()
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


@contextlib.contextmanager
def open_geoparquet(destination: Destination) -> Iterator[FeatureWriter]:
    """GeoParquet 1.1, compressed with zstd."""
    # Readers of a whole folder look into the schema; the file says it again, with its extent.
    geo = json.dumps(_geo(destination.crs, _NOWHERE))
    schema = destination.schema.append(_BBOX_FIELD).with_metadata({"geo": geo})
    with destination.output_errors():
        file = pq.ParquetWriter(destination.path, schema, compression="zstd")
    try:
        writer = _GeoParquetWriter(file, destination)
        yield writer
        with destination.output_errors():
            writer.finish()
            file.close()
    finally:
        # Closing twice is allowed; after an error the file goes, so its last words do not matter.
        with contextlib.suppress(OSError):
            file.close()
