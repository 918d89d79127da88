"""Which files may be opened, and how.

A raster file can be more than it seems: a VRT names other files, web addresses or Python code; a
name such as `/vsicurl/…` or `https://…` is a download. buildext opens local files, and local files
named by a local VRT; all else needs the user's word (`allow_remote`). The check reads the VRT
before GDAL does, and GDAL gets only drivers that do not talk to a network.

GDAL's errors are turned into one line that names the file.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

from buildext.errors import DamagedSceneError, MissingInputError, SceneError

log = logging.getLogger(__name__)

RASTER_SUFFIXES = frozenset(
    {".tif", ".tiff", ".vrt", ".jp2", ".j2k", ".img", ".png", ".jpg", ".jpeg", ".webp", ".asc"}
)

# Formats that hold their own pixels: none of these opens a socket or follows names in a file, but
# for VRT, which `check_local` reads first.
# fmt: off
_LOCAL_DRIVERS = frozenset({
    "AAIGRID", "BMP", "DTED", "ECW", "EHDR", "ENVI", "GIF", "GTIFF", "HFA", "JP2ECW", "JP2KAK",
    "JP2MRSID", "JP2OPENJPEG", "JPEG", "JPEGXL", "KEA", "MBTILES", "MRSID", "NITF", "PCIDSK",
    "PNG", "PNM", "RST", "VRT", "WEBP",
})
# fmt: on
_REMOTE_NAME = re.compile(r"^\s*(/vsi|[a-z][a-z0-9+.-]+:)", re.IGNORECASE)
_REMOTE_TEXT = re.compile(r"/vsi[a-z0-9_]+[/?]|[a-z][a-z0-9+.-]+://|<GDAL_W", re.IGNORECASE)
_MAX_VRT_BYTES = 64 * 1024 * 1024
_REMOTE_HINT = "pass --allow-remote if you trust this source"

# For files behind a network: ask again rather than fail, give up on a line that is dead, and join
# ranges that lie side by side.
_NETWORK = {
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": "60",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
}
# On opening one of them: a header in one piece, what was fetched is kept, and no bucket is listed
# in search of files beside it. (Beside a local file there may be a mask or a world file.)
_OPENING = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "8388608",
}
_STORES = {"http": "vsicurl", "https": "vsicurl", "s3": "vsis3", "gs": "vsigs", "az": "vsiaz"}

# What rasterio lets through when GDAL fails: not all of it has been given a root.
GDAL_ERRORS = (RasterioError, CRSError, CPLE_BaseError)

_quiet = threading.Lock()


@contextmanager
def gdal(allow_remote: bool) -> Iterator[None]:
    """GDAL settings under which buildext opens and reads rasters, for the calling thread."""
    with rasterio.Env(
        # A damaged JPEG tile must be an error, not grey pixels.
        GDAL_ERROR_ON_LIBJPEG_WARNING="YES",
        GDAL_VRT_ENABLE_PYTHON="YES" if allow_remote else "NO",
        **(_NETWORK if allow_remote else {}),
    ):
        yield


def is_remote(name: str) -> bool:
    """Whether GDAL would read `name` from elsewhere than a plain local file."""
    return _REMOTE_NAME.match(name) is not None


def gdal_name(name: str) -> str:
    """The name by which GDAL reads a remote raster in parts; other names as they are."""
    scheme, separator, rest = name.partition("://")
    store = _STORES.get(scheme.lower()) if separator else None
    if store is None:
        return name
    return f"/{store}/{name}" if store == "vsicurl" else f"/{store}/{rest}"


def list_rasters(paths: Sequence[Path | str], allow_remote: bool) -> list[str]:
    """The raster files that `paths` (files and folders) name, each once, in the order given.

    Raises:
        MissingInputError: a path does not exist, or a folder holds no raster.
        SceneError: a path is remote and `allow_remote` is False.
    """
    names: dict[str, None] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in RASTER_SUFFIXES)
            if not found:
                raise MissingInputError(
                    f"{path}: no raster in this folder; expected files such as *.tif",
                    hint="name the folder that holds the images themselves",
                )
            names.update(dict.fromkeys(str(p) for p in found))
        elif path.exists():
            names[str(path)] = None
        elif is_remote(str(given)):
            if not allow_remote:
                raise SceneError(f"{given}: a remote source; expected a file", hint=_REMOTE_HINT)
            names[gdal_name(str(given))] = None
        else:
            raise MissingInputError(f"{path}: no such file", hint="check the path")
    if not names:
        raise MissingInputError("no scene was named; expected at least one raster")
    return list(names)


def check_local(name: str, _seen: frozenset[str] = frozenset()) -> None:
    """Refuse a file that reaches for the network or runs Python, through nested VRTs too.

    Raises:
        MissingInputError: a VRT names a file that does not exist.
        SceneError: what was found, and that `--allow-remote` would permit it.
    """
    path = Path(name)
    with path.open("rb") as file:
        head = file.read(4096)
        is_text = head.lstrip().startswith((b"<", b"{", b"\xef\xbb\xbf"))
        if not is_text and b"<VRTDataset" not in head:
            return
        text = (head + file.read(_MAX_VRT_BYTES)).decode("utf-8", errors="replace")
    if "<VRTDataset" not in text[:4096]:
        # Descriptions of web services are XML or JSON files.
        raise SceneError(f"{name}: a text file; expected a raster or a VRT", hint=_REMOTE_HINT)
    # Entities would hide names from the search below.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise SceneError(f"{name}: a VRT with a document type; expected plain VRT")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise SceneError(f"{name}: not a readable VRT ({error})", hint="build it again") from error
    for element in root.iter():
        values = [element.text or "", *element.attrib.values()]
        if element.tag != "SRS" and any(map(_REMOTE_TEXT.search, values)):
            raise SceneError(
                f"{name}: a VRT with a remote source in <{element.tag}>; expected local files",
                hint=_REMOTE_HINT,
            )
        if element.tag == "PixelFunctionCode" or (
            element.tag == "PixelFunctionLanguage" and "python" in values[0].lower()
        ):
            raise SceneError(
                f"{name}: a VRT with a Python pixel function; expected none", hint=_REMOTE_HINT
            )
        if element.tag in {"SourceFilename", "SourceDataset"}:
            inner = Path(values[0].strip())
            if element.get("relativeToVRT") == "1":
                inner = path.parent / inner
            if not inner.is_file():
                raise MissingInputError(
                    f"{name}: a VRT that names {inner}, which is no file",
                    hint="restore the file or build the VRT again",
                )
            if str(inner) not in _seen:
                check_local(str(inner), _seen | {name})


@cache
def _local_drivers() -> tuple[str, ...]:
    with rasterio.Env() as env:
        return tuple(name for name in env.drivers() if name.upper() in _LOCAL_DRIVERS)


def open_raster(
    name: str, allow_remote: bool, expect_georeference: bool = False
) -> rasterio.DatasetReader:
    """Open one raster; the caller closes it.

    `expect_georeference` skips the silencing of rasterio's warning about a missing geotransform,
    which touches the process-wide warning filters and is better not done in reader threads.
    `DatasetReader` is called since `rasterio.open` takes no more than one driver.

    Raises:
        SceneError: GDAL cannot open the file.
    """
    drivers = None if allow_remote else list(_local_drivers())
    try:
        with rasterio.Env(**(_OPENING if is_remote(name) else {})):
            if expect_georeference:
                return rasterio.DatasetReader(name, driver=drivers)
            with _quiet, warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                return rasterio.DatasetReader(name, driver=drivers)
    except GDAL_ERRORS as error:
        raise SceneError(
            f"{name}: not a readable raster ({_one_line(error)})",
            hint="check that the file is complete and opens in other programs",
        ) from error


def check_complete(dataset: rasterio.DatasetReader) -> None:
    """Refuse a truncated GeoTIFF now, instead of when its last rows are read hours later.

    Only the last block is looked up, which is where writers end: damage elsewhere shows in reading.

    Raises:
        SceneError: the last block lies beyond the end of the file.
    """
    path = Path(dataset.name)
    if dataset.driver != "GTiff" or not path.is_file():
        return
    rows, cols = dataset.block_shapes[-1]
    block = f"{(dataset.width - 1) // cols}_{(dataset.height - 1) // rows}"
    offset, length = (
        int(dataset.get_tag_item(f"{key}_{block}", "TIFF", bidx=dataset.count) or 0)
        for key in ("BLOCK_OFFSET", "BLOCK_SIZE")
    )
    actual = path.stat().st_size
    if offset + length > actual:
        raise SceneError(
            f"{path}: a truncated file of {actual} bytes; expected at least {offset + length}",
            hint="copy or download the file again",
        )


def read_error(name: str, error: Exception) -> DamagedSceneError:
    """The error to raise when pixels of an opened file cannot be read."""
    reason = _one_line(error.__cause__ or error)
    damaged = DamagedSceneError(
        f"{name}: pixels cannot be read, the file is damaged or truncated ({reason})",
        hint="copy or download the file again",
    )
    damaged.file = name
    return damaged


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
