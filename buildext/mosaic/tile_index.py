"""Tile indexes: vector layers whose features are the outlines of files, and name them.

GDAL's `gdaltindex` writes them and its GTI driver reads them. The field with the file is called
`location` there; a field with a time or with a tilt is recognised by its name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from buildext.errors import InputError
from buildext.mosaic.inputs import Input, Listing, resolve

_LOCATION = ("location", "filename", "file", "path", "url", "href")
_TIME = ("acquired", "datetime", "acquisition", "timestamp", "date")
_TILT = ("off_nadir", "offnadir", "view_off_nadir", "off_nadir_deg")
_SENSOR = ("sensor", "platform", "instrument")


def read_index(path: Path, listing: Listing) -> Iterator[Input]:
    """The files that a tile index names, in the order of its features.

    Raises:
        InputError: no readable vector layer, or no field that names files.
        SceneError: a file is remote and network sources are not allowed.
    """
    import pyogrio
    import pyogrio.errors

    try:
        meta, _, _, columns = pyogrio.raw.read(path, read_geometry=False)
    except pyogrio.errors.DataSourceError as error:
        raise InputError(
            f"{path}: not a readable tile index ({error})", hint="make it with gdaltindex"
        ) from error
    table = dict(zip(meta["fields"].tolist(), columns, strict=True))
    fields = {name.lower(): name for name in table}
    location = _first(fields, _LOCATION)
    if location is None:
        raise InputError(
            f"{path}: the fields {', '.join(table) or '(none)'}; expected one called location",
            hint="a tile index names a file in each feature: make it with gdaltindex",
        )
    if listing.field is not None and listing.field not in table:
        raise InputError(
            f"{path}: no field {listing.field!r}; expected one of {', '.join(table)}",
            hint="choose another --order",
        )
    time, tilt, sensor = (_first(fields, names) for names in (_TIME, _TILT, _SENSOR))
    for row, name in enumerate(table[location]):
        yield Input(
            resolve(str(name), path.parent, listing),
            acquired="" if time is None else iso_time(table[time][row]),
            off_nadir_deg=None if tilt is None else number(table[tilt][row]),
            rank=None if listing.field is None else _rank(table[listing.field][row]),
            sensor="" if sensor is None else str(table[sensor][row] or ""),
        )


def iso_time(value: Any) -> str:
    """A time as ISO 8601 without a zone, to the second; "" where there is none or it is none."""
    import numpy as np

    if value is None:
        return ""
    text = str(value).strip().removesuffix("Z").split("+")[0].replace("/", "-")
    # TIFF writes 2019:05:04 10:11:12.
    if len(text) > 9 and text[4] == text[7] == ":":
        text = text[:10].replace(":", "-") + text[10:]
    try:
        time = np.datetime64(text.replace(" ", "T"), "s")
    except ValueError:
        return ""
    return "" if np.isnat(time) else str(time)


def number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _rank(value: Any) -> float | str | None:
    found = number(value)
    if found is not None:
        return found
    return None if value is None or value != value else str(value)


def _first(fields: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((fields[name] for name in names if name in fields), None)
