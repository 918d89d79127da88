"""A PMTiles archive without tiles: what a scene without buildings gives.

GDAL refuses to write one, since it takes the archive's bounds from its features. The header of 127
bytes, the root directory and the metadata follow version 3 of the specification
(https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md).
"""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

_HEADER_BYTES = 127
_GZIP, _MVT = 2, 1
# Bounds of web-Mercator, west, south, east, north, in units of 10⁻⁷ degrees.
_WORLD = (-1_800_000_000, -850_511_287, 1_800_000_000, 850_511_287)


def write_empty(path: Path, layer: str, description: str, zooms: tuple[int, int]) -> None:
    """Write an archive of vector tiles with one layer and no tile.

    Args:
        path: the file.
        layer: the layer's name.
        description: stored in the metadata.
        zooms: lowest and highest zoom.
    """
    low, high = zooms
    directory = gzip.compress(b"\x00", mtime=0)  # a varint: no entries
    fields = {"id": layer, "fields": {}, "minzoom": low, "maxzoom": high}
    described = {"name": layer, "description": description, "vector_layers": [fields]}
    metadata = gzip.compress(json.dumps(described).encode(), mtime=0)
    end = _HEADER_BYTES + len(directory) + len(metadata)
    header = struct.pack(
        "<7sB11Q6B4iB2i",
        b"PMTiles",
        3,
        *(_HEADER_BYTES, len(directory)),
        *(_HEADER_BYTES + len(directory), len(metadata)),
        *(end, 0),  # leaf directories
        *(end, 0),  # tiles
        *(0, 0, 0),  # addressed tiles, entries, tile contents
        *(1, _GZIP, _GZIP, _MVT, low, high),  # clustered, compressions, type, zooms
        *_WORLD,
        *(low, 0, 0),  # centre
    )
    path.write_bytes(header + directory + metadata)
