"""Partitions: one layer as a folder of GeoParquet files, each a piece of the ground.

A file of a whole country is unhandy, and a reader wants a part. Features come sorted in space, so
cutting the stream now and then gives partitions with small bounding boxes; inside, row groups can
be skipped by their boxes too. The column names and shapes are those of Overture Maps' buildings
(https://docs.overturemaps.org/schema/) where it has a counterpart: `id`, `geometry`, `bbox` and
`sources`, a list with the file and the confidence.

The folder appears under its name once it is complete; one that is there already is moved aside for
the moment between.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from buildext.atomic import as_output_error
from buildext.errors import NotWritableError
from buildext.footprints.destination import FeatureWriter
from buildext.footprints.features import GEOMETRY
from buildext.footprints.write import open_writer
from buildext.mosaic.layer import LAYER_SCHEMA, SOURCE

PARTITION_FEATURES = 500_000
# Overture's other fields of a source, `update_time` and `between`, are left out: nothing is known.
_SOURCE_ITEM = pa.struct(
    [
        pa.field("property", pa.string()),
        pa.field("dataset", pa.string()),
        pa.field("record_id", pa.string()),
        pa.field("confidence", pa.float64()),
    ]
)
PARTITION_SCHEMA = LAYER_SCHEMA.insert(
    LAYER_SCHEMA.get_field_index(GEOMETRY), pa.field("sources", pa.list_(_SOURCE_ITEM))
)


@dataclass(frozen=True, slots=True)
class Partition:
    """One file of the folder.

    Attributes:
        name: of the file.
        features: how many.
        bounds: xmin, ymin, xmax, ymax in the layer's CRS.
    """

    name: str
    features: int
    bounds: tuple[float, float, float, float]


class PartitionWriter:
    """Writes batches of `LAYER_SCHEMA` into one file after the other; see `open_partitions`.

    Attributes:
        done: the partitions that are complete.
    """

    def __init__(
        self, folder: Path, crs: Any, metadata: Mapping[str, Any], files: contextlib.ExitStack
    ) -> None:
        self._folder, self._crs, self._metadata = folder, crs, metadata
        self._files = files  # holds the open partition, and ends it as the whole ends
        self._writer: FeatureWriter | None = None
        self._features = 0
        self.done: list[Partition] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Append features to the open partition.

        Raises:
            OutputError: the file cannot be written.
        """
        writer = self._writer = self._writer or self._start()
        writer.write(_with_sources(batch))
        self._features += len(batch)

    def end_block(self) -> None:
        """Close the open partition if it has enough: partitions are made of whole blocks."""
        if self._features >= PARTITION_FEATURES:
            self.close()

    def close(self) -> None:
        """Complete the open partition."""
        if self._writer is None:
            return
        self._writer = None
        self._files.close()
        name = self._name
        # The writer of the file has found them out.
        geo = json.loads(pq.read_metadata(self._folder / name).metadata[b"geo"])
        xmin, ymin, xmax, ymax = geo["columns"][GEOMETRY]["bbox"]
        self.done.append(Partition(name, self._features, (xmin, ymin, xmax, ymax)))

    @property
    def _name(self) -> str:
        return f"part-{len(self.done):05d}.parquet"

    def _start(self) -> FeatureWriter:
        self._features = 0
        return self._files.enter_context(
            open_writer(
                self._folder / self._name,
                self._crs,
                metadata=self._metadata,
                schema=PARTITION_SCHEMA,
            )
        )


@contextlib.contextmanager
def open_partitions(
    folder: Path, crs: Any, metadata: Mapping[str, Any]
) -> Iterator[PartitionWriter]:
    """Open a folder of partitions; it replaces one of the same name when the block ends well.

    Without any feature there is one partition without features, so that readers find the columns.

    Raises:
        NotWritableError: a file is in the way.
        OutputError: a file cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise NotWritableError(
            f"got a file at {folder}; expected a folder or nothing", hint="move that file away"
        )
    mark = uuid.uuid4().hex[:8]
    temporary = folder.with_name(f".{folder.name}.{mark}")
    aside = folder.with_name(f".{folder.name}.{mark}.old")
    try:
        temporary.mkdir()
        with contextlib.ExitStack() as files:
            writer = PartitionWriter(temporary, crs, metadata, files)
            yield writer
            writer.close()
        if not writer.done:
            empty = temporary / "part-00000.parquet"
            with open_writer(empty, crs, metadata=metadata, schema=PARTITION_SCHEMA):
                pass
        if folder.exists():
            folder.replace(aside)
        temporary.replace(folder)
    except PermissionError as error:
        raise as_output_error(error, folder) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def _with_sources(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add the column `sources`: of each feature a list of one, or null where no file is known."""
    count = len(batch)
    name = batch.column(SOURCE)
    empty = pa.array([""] * count, pa.string())
    unknown = pa.nulls(count, pa.string())
    values = [empty, name, unknown, batch.column("confidence")]
    items = pa.StructArray.from_arrays(values, fields=list(_SOURCE_ITEM))
    offsets = pa.array(np.arange(count + 1, dtype=np.int32))
    lists = pa.ListArray.from_arrays(offsets, items, mask=pc.is_null(name))
    columns = {column: batch.column(column) for column in batch.schema.names}
    columns["sources"] = lists
    return pa.RecordBatch.from_arrays(
        [columns[column] for column in PARTITION_SCHEMA.names], schema=PARTITION_SCHEMA
    )
