"""GeoPackage, FlatGeobuf, GeoJSON and PMTiles: the formats that GDAL writes.

All four take the same stream of Arrow batches; they differ in a driver's name and a few options.
GeoJSON (RFC 7946: longitude and latitude on WGS 84, 7 decimals, outer rings counter-clockwise) and
PMTiles (web-Mercator tiles) have a fixed CRS, into which their drivers reproject; the others keep
the scene's.

The settings of the run are stored where each format has room for them, as JSON under `buildext`:
metadata of the layer in a GeoPackage (table `gpkg_metadata`) and in FlatGeobuf, a member of the
feature collection in GeoJSON, the description of a PMTiles archive. (Metadata of a GeoPackage as a
whole would make GDAL leave an `.aux.xml` beside it whenever somebody reads the file.)
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from buildext.footprints.destination import Destination, FeatureWriter
from buildext.footprints.frame import as_pyproj
from buildext.footprints.pmtiles import write_empty
from buildext.footprints.stream import BatchStream
from buildext.footprints.style import store_style

# A tile of zoom 15 is 1.2 km wide and counts 4096 steps of 0.3 m; at zoom 12 a house is 4 steps.
PMTILES_ZOOMS = (12, 15)


class _Writer:
    """Pushes batches into a stream, counts them, and turns errors into ours."""

    def __init__(self, stream: BatchStream, destination: Destination, scratch: int) -> None:
        self._stream = stream
        self._destination = destination
        self._scratch = scratch
        self._bytes = 0
        self.features = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Queue a batch for the file."""
        self.features += batch.num_rows
        self._bytes += batch.nbytes
        with self.errors():
            self._stream.put(batch)

    def finish(self) -> None:
        """Wait until the file is closed."""
        with self.errors():
            self._stream.finish()

    def errors(self) -> AbstractContextManager[None]:
        """Errors inside are those of writing what was handed over so far."""
        return self._destination.output_errors(self._scratch * self._bytes)


@dataclass(frozen=True, slots=True)
class _Driver:
    """A GDAL driver with its creation options.

    `scratch` tells how many times the size of the features it may need on the disk while it writes;
    `write_empty` stands in for a driver that cannot write a file without features.
    """

    name: str
    scratch: int = 4
    dataset_options: dict[str, str] = field(default_factory=dict)
    layer_options: dict[str, str] = field(default_factory=dict)
    write_empty: Callable[[], None] | None = None


@contextlib.contextmanager
def open_geopackage(destination: Destination) -> Iterator[FeatureWriter]:
    """GeoPackage with a spatial index and a QGIS style."""
    with _open(destination, _Driver("GPKG", dataset_options={"VERSION": "1.3"})) as writer:
        yield writer
    with writer.errors():
        _verify_geopackage(destination, writer.features)
        store_style(destination.path, destination.layer)


@contextlib.contextmanager
def open_flatgeobuf(destination: Destination) -> Iterator[FeatureWriter]:
    """FlatGeobuf with its packed spatial index."""
    with _open(destination, _Driver("FlatGeobuf")) as writer:
        yield writer


@contextlib.contextmanager
def open_geojson(destination: Destination) -> Iterator[FeatureWriter]:
    """GeoJSON as RFC 7946 wants it."""
    members = json.dumps({"buildext": destination.metadata})
    options = {"RFC7946": "YES", "FOREIGN_MEMBERS_COLLECTION": members, "SIGNIFICANT_FIGURES": "12"}
    with _open(destination, _Driver("GeoJSON", layer_options=options)) as writer:
        yield writer


@contextlib.contextmanager
def open_pmtiles(destination: Destination) -> Iterator[FeatureWriter]:
    """PMTiles, vector tiles in one archive."""
    low, high = PMTILES_ZOOMS
    description = json.dumps({"buildext": destination.metadata})
    options = {
        "NAME": destination.layer,
        "DESCRIPTION": description,
        "MINZOOM": str(low),
        "MAXZOOM": str(high),
    }
    driver = _Driver(
        "PMTiles",
        scratch=32,
        dataset_options=options,
        write_empty=functools.partial(
            write_empty, destination.path, destination.layer, description, PMTILES_ZOOMS
        ),
    )
    with _open(destination, driver) as writer:
        yield writer


@contextlib.contextmanager
def _open(destination: Destination, driver: _Driver) -> Iterator[_Writer]:
    stream = BatchStream(destination.schema, functools.partial(_consume, destination, driver))
    try:
        writer = _Writer(stream, destination, driver.scratch)
        yield writer
        writer.finish()
    finally:
        stream.cancel()


def _consume(destination: Destination, driver: _Driver, reader: pa.RecordBatchReader) -> None:
    """Write all batches of a reader; returns when the file is closed."""
    import pyogrio

    if driver.write_empty is not None:
        first = next(reader, None)
        if first is None:
            driver.write_empty()
            return
        reader = pa.RecordBatchReader.from_batches(reader.schema, itertools.chain([first], reader))
    # What goes wrong while GDAL closes a file it prints on the terminal; we raise what we find.
    pyogrio.set_gdal_config_options({"CPL_LOG": os.devnull})
    pyogrio.write_arrow(
        reader,
        destination.path,
        driver=driver.name,
        layer=destination.layer,
        geometry_type="Polygon",
        crs=_crs_text(destination.crs),
        layer_metadata={"buildext": json.dumps(destination.metadata)},
        dataset_options=driver.dataset_options,
        layer_options=driver.layer_options,
    )


def _verify_geopackage(destination: Destination, features: int) -> None:
    """Check that features and spatial index are all there: GDAL closes over a full disk silently.

    Raises:
        OSError: they are not.
        sqlite3.Error: the file is damaged.
    """
    layer = destination.layer
    with contextlib.closing(sqlite3.connect(destination.path)) as database:
        for table in (layer, f"rtree_{layer}_geom_rowid"):
            (found,) = database.execute(f'SELECT count(*) FROM "{table}"').fetchone()
            if found != features:
                raise OSError(f"{table} holds {found} of {features} features")


def _crs_text(crs: Any) -> str | None:
    """Authority code where there is one, which files store more faithfully than WKT."""
    if crs is None:
        return None
    definition = as_pyproj(crs)
    authority = definition.to_authority()
    return ":".join(authority) if authority else definition.to_wkt()
