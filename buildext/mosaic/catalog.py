"""A STAC catalogue of a mosaic's outputs: what lies where, for programs that search.

STAC 1.1 (https://github.com/radiantearth/stac-spec) describes files on the ground as items, GeoJSON
features with links to the files, and puts items that belong together into a collection. Here one
item stands for the whole layer, one for each partition of it, one for the probability. Links are
relative, so the folder can be moved or published as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyproj
import shapely
from affine import Affine

from buildext import __version__
from buildext.atomic import atomic_path
from buildext.footprints.frame import as_pyproj
from buildext.footprints.geoparquet import BBOX
from buildext.footprints.write import FORMATS
from buildext.grid.window import Window
from buildext.mosaic.grid import MosaicGrid
from buildext.mosaic.partitions import PARTITION_SCHEMA, Partition
from buildext.mosaic.rows import SourceRow

STAC = "stac"
_VERSION = "1.1.0"
_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_TABLE = "https://stac-extensions.github.io/table/v1.2.0/schema.json"
_TYPES = {
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".pmtiles": "application/vnd.pmtiles",
    ".vrt": "application/xml",
    ".html": "text/html",
}
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Content:
    """What a catalogue describes.

    Attributes:
        name: id of the collection.
        label_kind: what the outlines draw, `roof` or `footprint`.
        buildings: how many.
        extent: pixels of the lattice that were looked at.
        layers: files that hold the whole layer.
        partitions: folder of partitions and its files; None where there is none.
        probability: the virtual raster.
        summary: the page.
        sources: files of the mosaic.
        settings: of the run.
    """

    name: str
    label_kind: str
    buildings: int
    extent: Window
    layers: Sequence[Path]
    partitions: tuple[Path, Sequence[Partition]] | None
    probability: Path
    summary: Path
    sources: Sequence[SourceRow]
    settings: dict[str, Any]


def write_catalog(out: Path, grid: MosaicGrid, content: Content) -> Path:
    """Write the collection and its items below `out/stac`; returns the collection's path.

    Raises:
        OutputError: a file cannot be written.
    """
    folder = out / STAC
    folder.mkdir(exist_ok=True)
    items = list(_items(grid, content))
    for item in items:
        _write(folder / f"{item['id']}.json", item)
    names = {f"{item['id']}.json" for item in items}
    for stale in folder.glob("*.json"):
        if stale.name not in names | {"collection.json"}:
            stale.unlink()
    path = folder / "collection.json"
    _write(path, _collection(grid, content, items))
    return path


def _items(grid: MosaicGrid, content: Content) -> Iterator[dict[str, Any]]:
    transform = grid.transform_of(content.extent)
    bounds = bounds_of(transform, content.extent)
    layer = _item("buildings", grid, content, bounds)
    layer["stac_extensions"].append(_TABLE)
    layer["properties"] |= _described(content.buildings)
    for path in content.layers:
        layer["assets"][path.suffix[1:]] = _asset(path, FORMATS[path.suffix].name, "data")
    layer["assets"]["summary"] = _asset(content.summary, "Totals and a map", "overview")
    yield layer

    probability = _item("probability", grid, content, bounds)
    probability["properties"] |= {
        "proj:shape": [content.extent.height, content.extent.width],
        "proj:transform": list(transform)[:6],
    }
    probability["assets"]["probability"] = {
        **_asset(content.probability, "255 × probability, over the files of the blocks", "data"),
        "bands": [
            {"name": channel, "data_type": "uint8", "raster:scale": 1 / 255}
            for channel in grid.channels
        ],
    }
    yield probability

    folder, partitions = content.partitions or (Path(), ())
    for partition in partitions:
        item = _item(Path(partition.name).stem, grid, content, partition.bounds)
        item["stac_extensions"].append(_TABLE)
        item["properties"] |= _described(partition.features)
        item["assets"]["data"] = _asset(folder / partition.name, "GeoParquet", "data")
        yield item


def bounds_of(transform: Affine, window: Window) -> Bounds:
    """xmin, ymin, xmax, ymax of a window, from the transform of its corner; north-up."""
    xmin, ymax = transform @ (0, 0)
    xmax, ymin = transform @ (window.width, window.height)
    return float(xmin), float(ymin), float(xmax), float(ymax)


def _item(name: str, grid: MosaicGrid, content: Content, bounds: Bounds) -> dict[str, Any]:
    transformer = pyproj.Transformer.from_crs(as_pyproj(grid.crs), "OGC:CRS84", always_xy=True)
    box = shapely.box(*bounds)
    # Straight edges bend on the way to longitude and latitude: sixteen vertices keep them in place.
    box = shapely.segmentize(box, max(shapely.length(box) / 64, 1e-9))
    on_globe = shapely.transform(box, transformer.transform, interleaved=False)
    on_globe = shapely.set_precision(shapely.orient_polygons(on_globe), 1e-9)
    authority = as_pyproj(grid.crs).to_authority()
    code = ":".join(authority) if authority else None
    properties = {
        **_times(content.sources),
        "proj:code": code,
        "proj:bbox": list(bounds),
        "processing:software": {"buildext": __version__},
        "buildext:label_kind": content.label_kind,
    }
    if code is None:
        properties["proj:wkt2"] = grid.crs_wkt
    return {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": [_PROJECTION],
        "id": name,
        "collection": content.name,
        "geometry": json.loads(shapely.to_geojson(on_globe)),
        "bbox": list(shapely.bounds(on_globe).round(9).tolist()),
        "properties": properties,
        "links": [
            {"rel": rel, "href": "collection.json", "type": "application/json"}
            for rel in ("root", "parent", "collection")
        ],
        "assets": {},
    }


def _collection(
    grid: MosaicGrid, content: Content, items: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    links = [{"rel": "root", "href": "collection.json", "type": "application/json"}]
    links += [
        {"rel": "item", "href": f"{item['id']}.json", "type": "application/geo+json"}
        for item in items
    ]
    times = items[0]["properties"]
    used = sum(row.state == "used" for row in content.sources)
    start = times.get("start_datetime", times["datetime"])
    end = times.get("end_datetime", times["datetime"])
    return {
        "type": "Collection",
        "stac_version": _VERSION,
        "id": content.name,
        "title": f"Buildings of {content.name}",
        "description": (
            f"{content.buildings} building {content.label_kind}s, extracted from "
            f"{used} files at {grid.gsd_m:.3g} m per pixel by buildext."
        ),
        "license": "other",
        "extent": {
            "spatial": {"bbox": [items[0]["bbox"]]},
            "temporal": {"interval": [[start, end]]},
        },
        "summaries": {"buildext:settings": content.settings},
        "links": links,
    }


def _times(sources: Sequence[SourceRow]) -> dict[str, Any]:
    """When the images were taken; where no file tells, when the catalogue was made."""
    used = [row.acquired for row in sources if row.state == "used"]
    taken = sorted(_utc(acquired) for acquired in used if acquired)
    if not taken:
        return {"datetime": _text(datetime.now(UTC))}
    first, last = _text(taken[0]), _text(taken[-1])
    return {"datetime": last, "start_datetime": first, "end_datetime": last}


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _described(features: int) -> dict[str, Any]:
    """The table of features, for the table extension."""
    columns = [{"name": field.name, "type": str(field.type)} for field in PARTITION_SCHEMA]
    columns.append({"name": BBOX, "type": "struct<xmin, ymin, xmax, ymax: double>"})
    return {
        "table:row_count": features,
        "table:primary_geometry": "geometry",
        "table:columns": columns,
    }


def _asset(path: Path, title: str, role: str) -> dict[str, Any]:
    inside = path.parent.name + "/" if path.suffix == ".parquet" else ""
    return {
        "href": f"../{inside}{path.name}",
        "title": title,
        "type": _TYPES[path.suffix],
        "roles": [role],
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")
