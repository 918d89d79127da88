"""A destination: everything that a format needs to know to start a file.

With it stand the manners that all formats share: errors of drivers become ours, and what drivers
leave beside a file goes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from buildext.atomic import as_output_error
from buildext.errors import BuildextError

_FULL_BELOW_BYTES = 64 * 1024


class FeatureWriter(Protocol):
    """Takes features, batch by batch."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append the features of a batch.

        Raises:
            OutputError: the file cannot be written (`DiskFullError`: the disk is full).
        """


@dataclass(frozen=True, slots=True)
class Destination:
    """Where features go.

    Attributes:
        path: the (temporary) file to write.
        final: the name under which the user knows it.
        schema: columns of the batches.
        crs: CRS of the geometries (rasterio, pyproj or text); None: pixels.
        layer: name of the layer.
        metadata: settings of the run, fit for JSON.
    """

    path: Path
    final: Path
    schema: pa.Schema
    crs: Any
    layer: str
    metadata: Mapping[str, Any]

    def output_errors(self, needed_bytes: int = 0) -> AbstractContextManager[None]:
        """See the function of the same name."""
        return output_errors(self.final, needed_bytes)


@contextlib.contextmanager
def output_errors(final: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn whatever a driver raises inside the block into an `OutputError`.

    Drivers report a full disk in many words or none, so the disk itself is asked.

    Args:
        final: the output.
        needed_bytes: what the driver may have needed on the disk, intermediate files included;
            they are gone by the time we look, so one that fails with less left failed for want of
            space.
    """
    try:
        yield
    except BuildextError:
        raise
    except Exception as error:
        if shutil.disk_usage(final.parent).free < _FULL_BELOW_BYTES + needed_bytes:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise as_output_error(full, final) from error
        raise as_output_error(error, final) from error
