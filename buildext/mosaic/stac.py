"""STAC: catalogues of images as JSON.

An *item* is one acquisition: a GeoJSON feature with a time, properties and *assets*, the files. An
*item collection* is a feature collection of them, as a search gives it; a long one comes in pages,
each naming the next. (SpatioTemporal Asset Catalog specification 1.0.0.)
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from buildext.errors import InputError
from buildext.mosaic.inputs import Input, Listing, resolve
from buildext.mosaic.tile_index import iso_time, number
from buildext.scene.access import is_remote

_ROLES = ("visual", "data")
_TIMEOUT_S = 60
_MAX_PAGES = 10_000


def read_items(name: str, listing: Listing) -> Iterator[Input]:
    """The images that an item or an item collection names.

    Args:
        name: a local file, or an address where `listing` allows network sources.
        listing: asset, field and permission.

    Raises:
        InputError: not STAC, or an item without an image.
        SceneError: an image is remote and network sources are not allowed.
    """
    page: str | None = name
    seen: set[str] = set()
    while page is not None and page not in seen and len(seen) < _MAX_PAGES:
        seen.add(page)
        document = _load(page)
        items = document["features"] if document["type"] == "FeatureCollection" else [document]
        for item in items:
            yield _input(item, page, listing)
        page = _next(document, page) if listing.allow_remote else None


def _load(name: str) -> dict[str, Any]:
    try:
        if is_remote(name):
            if not name.lower().startswith(("http://", "https://")):
                raise ValueError("only http and https are read")
            with urllib.request.urlopen(name, timeout=_TIMEOUT_S) as reply:
                document = json.load(reply)
        else:
            document = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name}: not a readable STAC file ({error})", hint="expected a STAC item collection"
        ) from error
    kind = document.get("type") if isinstance(document, dict) else None
    if kind not in ("FeatureCollection", "Feature"):
        raise InputError(
            f"{name}: JSON of the type {kind!r}; expected a STAC item or item collection",
            hint="save the result of a search, a FeatureCollection of items",
        )
    return document  # type: ignore[no-any-return]


def _input(item: dict[str, Any], page: str, listing: Listing) -> Input:
    properties = item.get("properties", {})
    field = listing.field
    rank = None if field is None else properties.get(field)
    href = _asset(item, listing.asset)
    if is_remote(page):
        name = resolve(urljoin(page, href), Path(), listing)
    else:
        name = resolve(href, Path(page).parent, listing)
    return Input(
        name,
        acquired=iso_time(properties.get("datetime") or properties.get("start_datetime")),
        off_nadir_deg=number(properties.get("view:off_nadir")),
        rank=rank if number(rank) is None else number(rank),
        sensor=str(properties.get("platform") or ""),
    )


def _asset(item: dict[str, Any], wanted: str | None) -> str:
    """Address of the image: the asset of a name, else the first that looks like one."""
    assets: dict[str, dict[str, Any]] = item.get("assets", {})
    if wanted is not None:
        if wanted in assets:
            return str(assets[wanted]["href"])
        raise InputError(
            f"item {item.get('id')}: no asset {wanted!r}; expected one of {', '.join(assets)}",
            hint="choose another --asset",
        )

    def order(asset: dict[str, Any]) -> int:
        roles = asset.get("roles") or []
        return next((i for i, role in enumerate(_ROLES) if role in roles), len(_ROLES))

    images = [a for a in assets.values() if str(a.get("type", "")).startswith("image/tiff")]
    images = images or [a for a in assets.values() if "data" in (a.get("roles") or [])]
    if not images:
        raise InputError(
            f"item {item.get('id')}: no asset that is a GeoTIFF; it has {', '.join(assets)}",
            hint="name the asset with --asset",
        )
    return str(min(images, key=order)["href"])


def _next(document: dict[str, Any], page: str) -> str | None:
    """Address of the next page of a search; only plain ones, asked for with GET."""
    for link in document.get("links", []):
        if link.get("rel") == "next" and link.get("method", "GET") == "GET":
            return urljoin(page, str(link["href"]))
    return None
