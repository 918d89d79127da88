"""The survey: every file is opened once, and what it is written down.

A file that cannot be opened, is cut off, has no CRS or lacks bands that the model needs is no
reason to give up a city: it is noted and left out. A file is known again by its *fingerprint*: its
size and the time of its last change, for a VRT those of the files behind it too. Reading thousands
of files to hash them would cost as much as using them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from buildext.errors import InputError, NoValidPixelError
from buildext.grid.window import Window
from buildext.mosaic.inputs import Input
from buildext.mosaic.options import GIVEN, NADIR, NEWEST
from buildext.mosaic.tile_index import iso_time, number
from buildext.progress import Progress
from buildext.scene.access import GDAL_ERRORS, gdal, is_remote, open_raster
from buildext.scene.options import SceneOptions
from buildext.scene.plane import Placed, Plane
from buildext.scene.sampling import take_sample
from buildext.scene.scaling import Stretch, choose_stretch, warn_if_unusual
from buildext.scene.source import Source, inspect

log = logging.getLogger(__name__)

_TIME_TAGS = ("ACQUISITIONDATETIME", "ACQUISITION_DATETIME", "TIFFTAG_DATETIME", "DATETIME")
_TILT_TAGS = ("OFFNADIRANGLE", "OFF_NADIR", "MEANOFFNADIRVIEWANGLE", "VIEW:OFF_NADIR")
_TAG_DOMAINS = (None, "IMAGERY", "IMD")


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One file.

    Attributes:
        given: its name, with what catalogues and its own tags say.
        fingerprint: changes when the file does.
        source: how it is read; None where it is damaged.
        note: what is wrong with it, "" where nothing is.
    """

    given: Input
    fingerprint: str
    source: Source | None
    note: str = ""

    @property
    def name(self) -> str:
        """Path or remote name."""
        return self.given.name

    @property
    def group(self) -> str:
        """The sensor group: files of one kind, of one sensor or else in one folder."""
        assert self.source is not None  # damaged files are in no group
        origin = self.given.sensor or str(Path(self.name).parent)
        bands = ",".join(map(str, self.source.colours))
        return f"{self.source.dtype} · bands {bands} · {origin}"


def survey(inputs: Sequence[Input], options: SceneOptions, progress: Progress) -> list[Surveyed]:
    """Open every file once; those that cannot be used say why in their `note`."""
    found = []
    progress.start("survey", len(inputs))
    for one in inputs:
        found.append(_look_at(one, options))
        progress.advance()
    progress.finish()
    return found


def in_order(files: Sequence[Surveyed], order: str) -> list[Surveyed]:
    """Files as they take precedence; files alike, or that tell nothing, keep the order given."""
    if order == GIVEN:
        return list(files)
    if order == NEWEST:
        # "" sorts before every time, hence last when turned round; Python keeps the order of ties.
        return sorted(files, key=lambda f: f.given.acquired, reverse=True)
    if order == NADIR:
        known = [f for f in files if f.given.off_nadir_deg is not None]
        rest = [f for f in files if f.given.off_nadir_deg is None]
        return sorted(known, key=lambda f: abs(f.given.off_nadir_deg or 0.0)) + rest
    ranks = [f.given.rank for f in files]
    numeric = all(rank is None or isinstance(rank, float) for rank in ranks)

    def rank_of(file: Surveyed) -> tuple[bool, float, str]:
        rank = file.given.rank
        value = rank if numeric and isinstance(rank, float) else 0.0
        return rank is not None, value, "" if numeric else str(rank)

    return sorted(files, key=rank_of, reverse=True)


def group_stretch(sources: Sequence[Source], options: SceneOptions) -> Stretch:
    """One stretch for all files of a sensor group, from a bounded sample of their pixels.

    Raises:
        DamagedSceneError: a file cannot be read.
    """
    channels = sources[0].channels
    plane = _contact_sheet(sources, options)
    try:
        with gdal(options.allow_remote):
            sample = take_sample(plane)
    except NoValidPixelError:
        log.warning("no valid pixel in the %d files like %s", len(sources), sources[0].name)
        return Stretch((0.0,) * channels, (1.0,) * channels, "given")
    finally:
        plane.close()
    stretch = choose_stretch(sample.pixels, options)
    warn_if_unusual(sample.pixels, stretch)
    return stretch


def _contact_sheet(sources: Sequence[Source], options: SceneOptions) -> Plane:
    """All files side by side, each pixel as it is: a sample of it is a sample of the files."""
    placed, col = [], 0
    for source in sources:
        placed.append(Placed(source, Window(0, col, source.height, source.width), None))
        col += source.width
    height = max(source.height for source in sources)
    first = sources[0]
    return Plane(tuple(placed), height, col, first.transform, first.crs, options.allow_remote)


def _look_at(given: Input, options: SceneOptions) -> Surveyed:
    name = given.name
    try:
        fingerprint = _fingerprint(name)
        with gdal(options.allow_remote):
            source = inspect(name, options)
            if not given.acquired or given.off_nadir_deg is None:
                given = _with_tags(given, options)
    except InputError as error:
        return Surveyed(given, _fingerprint(name), None, str(error))
    except GDAL_ERRORS as error:
        return Surveyed(given, _fingerprint(name), None, f"{name}: {error}")
    except FileNotFoundError:
        return Surveyed(given, "missing", None, f"{name}: no such file")
    return Surveyed(given, fingerprint, source)


def _fingerprint(name: str) -> str:
    if is_remote(name):
        return "remote"
    digest = hashlib.sha256()
    for path in sorted(_behind(Path(name))):
        if path.exists():
            about = path.stat()
            digest.update(f"{path}|{about.st_size}|{about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _behind(path: Path) -> set[Path]:
    """A file and, where it is a VRT, those that it names."""
    files = {path}
    if path.suffix.lower() == ".vrt":
        try:
            root = ElementTree.parse(path).getroot()
        except (ElementTree.ParseError, OSError):
            return files
        for element in root.iter():
            if element.tag in {"SourceFilename", "SourceDataset"} and element.text:
                inner = Path(element.text.strip())
                relative = element.get("relativeToVRT") == "1"
                inner = path.parent / inner if relative else inner
                files |= {inner} if inner == path else _behind(inner)
    return files


def _with_tags(given: Input, options: SceneOptions) -> Input:
    """What the tags of a file say where its catalogue is silent."""
    tags: dict[str, str] = {}
    with open_raster(given.name, options.allow_remote) as dataset:
        for domain in _TAG_DOMAINS:
            for key, value in dataset.tags(ns=domain).items():
                tags.setdefault(key.upper(), value)
    times = (iso_time(tags.get(tag)) for tag in _TIME_TAGS)
    tilts = (number(tags.get(tag)) for tag in _TILT_TAGS)
    acquired = next((time for time in times if time), "")
    tilt = next((angle for angle in tilts if angle is not None), None)
    return replace(
        given,
        acquired=given.acquired or acquired,
        off_nadir_deg=tilt if given.off_nadir_deg is None else given.off_nadir_deg,
    )
