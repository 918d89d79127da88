"""The layer: all buildings of a mosaic as one stream of features, with memory for one block.

Every block's file is sorted along the Hilbert curve of its pixels, and blocks are read in the order
in which a Hilbert curve visits them. So the stream is sorted in space without a sort: what follows
one another in it lies side by side on the ground. It has no duplicates to remove, since every
building has one owner.

In the blocks' files the source is a number; in the layer it has its name.

| column | type | meaning |
|---|---|---|
| `id` | int64 | place of the building's first pixel on the mosaic's lattice |
| `confidence` … `touches_edge` | | as for one scene, see `footprints.features` |
| `source` | string | file that shows most of the building |
| `geometry` | binary | as for one scene |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from buildext.errors import MissingInputError
from buildext.footprints.features import FEATURE_SCHEMA, GEOMETRY
from buildext.mosaic.grid import LATTICE_LEVELS
from buildext.mosaic.hilbert import hilbert_index
from buildext.mosaic.outline import BLOCK_SCHEMA, SOURCE_NUMBER, footprints_path
from buildext.mosaic.rows import BlockRow, SourceRow

SOURCE = "source"
LAYER_SCHEMA = FEATURE_SCHEMA.insert(
    FEATURE_SCHEMA.get_field_index(GEOMETRY), pa.field(SOURCE, pa.string())
)
_BATCH_FEATURES = 10_000


def along_curve(blocks: Sequence[BlockRow]) -> list[BlockRow]:
    """Blocks in the order in which a Hilbert curve visits them."""
    cols, rows = [row.block.col for row in blocks], [row.block.row for row in blocks]
    index = hilbert_index(cols, rows, LATTICE_LEVELS)
    return [blocks[place] for place in np.argsort(index).tolist()]


def block_features(out: Path, row: BlockRow) -> Iterator[pa.RecordBatch]:
    """The features of a block, batch by batch, in `BLOCK_SCHEMA`.

    Raises:
        MissingInputError: the block's file is not there, or damaged, or holds another number of
            buildings than the block is said to own.
    """
    if not row.buildings:
        return
    path = footprints_path(out, row.block)
    if not path.exists():
        raise _wrong(path, "no file", row)
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise _wrong(path, "a damaged file", row) from error
    with file:
        if file.metadata.num_rows != row.buildings:
            raise _wrong(path, f"{file.metadata.num_rows} buildings", row)
        yield from file.iter_batches(_BATCH_FEATURES, columns=BLOCK_SCHEMA.names)


def named(batch: pa.RecordBatch, names: pa.Array) -> pa.RecordBatch:
    """The same features in `LAYER_SCHEMA`.

    Args:
        batch: in `BLOCK_SCHEMA`.
        names: name of each file by its number, see `source_names`.
    """
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns[SOURCE] = names.take(columns.pop(SOURCE_NUMBER))
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in LAYER_SCHEMA.names], schema=LAYER_SCHEMA
    )


def source_names(sources: Sequence[SourceRow]) -> pa.Array:
    """Names of files by number; null for 0 and for numbers that no file has."""
    names: list[str | None] = [None] * (1 + max((row.number for row in sources), default=0))
    for row in sources:
        names[row.number] = row.name
    return pa.array(names, pa.string())


def _wrong(path: Path, got: str, row: BlockRow) -> MissingInputError:
    return MissingInputError(
        f"got {got} at {path}; expected {row.buildings} buildings of block {row.block}",
        hint="run the mosaic again: the block is done anew",
    )
