"""The end of a mosaic: one layer, one raster, a catalogue and a page, from the files of the blocks.

    blocks along a Hilbert curve → features with names → partitions, GeoPackage, PMTiles
                                                       ↘ totals → page
    blocks → VRT        both → STAC

The layer goes by once, batch after batch, into every format at the same time; nothing is held but a
few batches and the totals, so memory does not grow with the number of buildings. What comes out:

| output | what it is |
|---|---|
| `buildings/part-….parquet` | GeoParquet 1.1, cut into partitions (see `partitions`) |
| `buildings.gpkg` | the same as one GeoPackage, styled for QGIS |
| `buildings.pmtiles` | the same as vector tiles for the web |
| `probability.vrt` | the probability of all blocks as one raster |
| `stac/collection.json` | a catalogue of all this |
| `summary.html` | totals, a map, and what went wrong |

Each is replaced once it is complete. A finish that was broken off is done again from the start.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildext.atomic import atomic_path
from buildext.errors import NoValidPixelError, UsageError
from buildext.footprints.destination import FeatureWriter
from buildext.footprints.write import open_writer
from buildext.mosaic.catalog import Content, write_catalog
from buildext.mosaic.grid import BlockId, MosaicGrid
from buildext.mosaic.layer import LAYER_SCHEMA, along_curve, block_features, named, source_names
from buildext.mosaic.partitions import Partition, open_partitions
from buildext.mosaic.rows import BlockRow, SourceRow
from buildext.mosaic.summary import Account, write_summary
from buildext.mosaic.times import Span, Times
from buildext.mosaic.totals import Totals
from buildext.mosaic.vrt import extent_of, write_vrt
from buildext.progress import Progress, SilentProgress

log = logging.getLogger(__name__)

LAYER_FORMATS = ("parquet", "gpkg", "pmtiles")
LAYER = "buildings"
# Unbidden, GDAL builds the index of a GeoPackage in a tenth of the machine's memory.
_INDEX_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of the end of a mosaic.

    Attributes:
        totals: counts of the layer.
        paths: the outputs, the page last.
        seconds: time that it took.
    """

    totals: Totals
    paths: tuple[Path, ...]
    seconds: float


def finish(
    out: Path,
    grid: MosaicGrid,
    blocks: Sequence[BlockRow],
    sources: Sequence[SourceRow],
    settings: Mapping[str, Any],
    formats: tuple[str, ...] = LAYER_FORMATS,
    progress: Progress | None = None,
    *,
    failed: Mapping[BlockId, str] | None = None,
    times: Times | None = None,
) -> Finished:
    """Write the outputs of a mosaic.

    Args:
        out: folder of the mosaic.
        grid: its lattice.
        blocks: all blocks that are done.
        sources: all files, the damaged ones too.
        settings: of the run, fit for JSON; stored in the outputs. `label_kind` names the layer.
        formats: which of `LAYER_FORMATS` to write.
        progress: told of features.
        failed: blocks that were given up, and why.
        times: of the run so far, for the page.

    Raises:
        UsageError: an unknown format.
        NoValidPixelError: no block has data.
        MissingInputError: the file of a block is not what the ledger says.
        OutputError: an output cannot be written.
    """
    start = Span.now()
    progress = progress or SilentProgress()
    for name in formats:
        if name not in LAYER_FORMATS:
            raise UsageError(f"got the format {name!r}; expected some of {LAYER_FORMATS}")
    with_data = [row for row in blocks if row.valid_px]
    if not with_data:
        raise NoValidPixelError(
            "got no valid pixel in any file of the mosaic",
            hint="look at the files that the ledger calls damaged, and at --nodata",
        )
    _sweep(out)
    kind = str(settings.get("label_kind", "footprint"))
    totals, partitions = _write_layer(
        out, grid, with_data, sources, {**settings}, kind, formats, progress
    )
    with_files = [row.block for row in with_data]
    raster = out / "probability.vrt"
    write_vrt(raster, grid, with_files)
    page = out / "summary.html"
    layers = [out / f"{LAYER}.{name}" for name in formats if name != "parquet"]
    folder = [out / LAYER] if "parquet" in formats else []
    catalog = write_catalog(
        out,
        grid,
        Content(
            name=out.resolve().name,
            label_kind=kind,
            buildings=totals.all.buildings,
            extent=extent_of(grid, with_files),
            layers=layers,
            partitions=(folder[0], partitions) if folder else None,
            probability=raster,
            summary=page,
            sources=sources,
            settings={**settings},
        ),
    )
    outputs = (*folder, *layers, raster, catalog)
    took = Span.now().since(start)
    spent = Times(None if times is None else times.spans)
    spent.add("merge", took)
    with atomic_path(page, overwrite=True) as temporary:
        account = Account(out.resolve().name, grid, blocks, sources, failed or {}, totals, settings)
        text = write_summary(account, [p.relative_to(out) for p in outputs], spent)
        temporary.write_text(text, encoding="utf-8")
    log.info("%d buildings merged in %.1f s", totals.all.buildings, took.wall_s)
    return Finished(totals, (*outputs, page), took.wall_s)


def _write_layer(
    out: Path,
    grid: MosaicGrid,
    blocks: Sequence[BlockRow],
    sources: Sequence[SourceRow],
    settings: dict[str, Any],
    kind: str,
    formats: tuple[str, ...],
    progress: Progress,
) -> tuple[Totals, list[Partition]]:
    """Let the layer go by, into every format and the totals."""
    import pyogrio

    pyogrio.set_gdal_config_options({"OGR_GPKG_MAX_RAM_USAGE_RTREE": str(_INDEX_BYTES)})
    totals, names = Totals(), source_names(sources)
    with contextlib.ExitStack() as stack:
        writers: list[FeatureWriter] = [
            stack.enter_context(
                open_writer(
                    out / f"{LAYER}.{name}",
                    grid.crs,
                    metadata=settings,
                    overwrite=True,
                    layer=f"{kind}s",
                    schema=LAYER_SCHEMA,
                )
            )
            for name in formats
            if name != "parquet"
        ]
        parts = None
        if "parquet" in formats:
            parts = stack.enter_context(open_partitions(out / LAYER, grid.crs, settings))
            writers.append(parts)
        progress.start("merge", sum(row.buildings for row in blocks))
        for row in along_curve(blocks):
            for batch in block_features(out, row):
                totals.add(row.block, batch)
                features = named(batch, names)
                for writer in writers:
                    writer.write(features)
                progress.advance(len(batch))
            if parts is not None:
                parts.end_block()
        progress.finish()
    return totals, [] if parts is None else parts.done


def _sweep(out: Path) -> None:
    """Remove what a killed finish left half-written: a GeoPackage may be large."""
    for name in (LAYER, "probability", "summary"):
        for leftover in out.glob(f".{name}.*"):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
