"""Packing: datasets written as plain image files, for training machines without geodata libraries.

A packed copy (see `packed`) without losses gives the same scenes, and so the same run, to the last
bit. Two things make a pool smaller and are said in its hashes: a coarser resolution (the mean over
the area of each new pixel, of the pixels with data; labels and masks are those of the nearest old
pixel) and JPEG. Memory is bounded by the largest scene, as it is for the training itself.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import math
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from buildext import __version__
from buildext.atomic import as_output_error
from buildext.errors import NotWritableError, OutputExistsError, UsageError
from buildext.learn.training.data.dataset import CARD_FILE, Dataset, open_dataset
from buildext.learn.training.data.packed import (
    CHUNK_PX,
    INDEX_FILE,
    KNOWN_BIT,
    VALID_BIT,
    ChunkEntry,
    PackedIndex,
    PackedScene,
    Part,
)
from buildext.learn.training.data.scenes import FILL_RGB, LabelledScene, LoadedScene
from buildext.progress import Progress, SilentProgress

log = logging.getLogger(__name__)

# Copied beside the card: people read there where the data come from and what they may do with it.
READ_ME = "README.md"
# Photographs hardly shrink beyond the first level of PNG, labels do.
PHOTO, DRAWING = [cv2.IMWRITE_PNG_COMPRESSION, 1], [cv2.IMWRITE_PNG_COMPRESSION, 6]


@dataclass(frozen=True, slots=True)
class PackOptions:
    """How scenes are packed.

    Attributes:
        gsd_m: finer scenes are reduced to this resolution; None keeps all as they are.
        jpeg: quality of JPEG images, 1 to 100; None writes PNG, without losses.
    """

    gsd_m: float | None = None
    jpeg: int | None = None

    def __post_init__(self) -> None:
        if self.gsd_m is not None and not self.gsd_m > 0:
            raise UsageError(f"got a GSD of {self.gsd_m} m; expected a positive one", hint="--gsd")
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise UsageError(f"got the JPEG quality {self.jpeg}; expected 1 to 100", hint="--jpeg")


@dataclass(frozen=True, slots=True)
class PackSummary:
    """What was written."""

    datasets: int
    scenes: int
    pixels: int
    bytes: int


def pack(
    folders: Sequence[Path],
    data_root: Path | None,
    out: Path,
    options: PackOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PackSummary:
    """Write the datasets whose cards lie in `folders` to `out`, a folder for each.

    Raises:
        UsageError: two datasets have the same name, or `out` is to be replaced and is no pool.
        OutputExistsError: `out` exists and `overwrite` is false.
        InputError: a dataset cannot be read.
        OutputError: the pool cannot be written.
    """
    options, progress = options or PackOptions(), progress or SilentProgress()
    datasets = [open_dataset(folder, data_root) for folder in folders]
    names = [dataset.card.name for dataset in datasets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"got two datasets of the name {name}", hint="name each once")
    summary = PackSummary(len(datasets), 0, 0, 0)
    with _fresh_folder(out, overwrite) as pool:
        for dataset, folder in zip(datasets, folders, strict=True):
            if not dataset.card.redistribute:
                log.warning("%s may not be passed on; keep the pool to yourself", dataset.card.name)
            index = _pack_dataset(dataset, folder, pool / dataset.card.name, options, progress)
            summary = replace(
                summary,
                scenes=summary.scenes + len(index.scenes),
                pixels=summary.pixels + sum(s.height * s.width for s in index.scenes),
            )
        size = sum(path.stat().st_size for path in pool.rglob("*") if path.is_file())
    return replace(summary, bytes=size)


def _pack_dataset(
    dataset: Dataset, source: Path, folder: Path, options: PackOptions, progress: Progress
) -> PackedIndex:
    folder.mkdir()
    for name in (CARD_FILE, READ_ME):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    progress.start(f"packing {dataset.card.name}", len(dataset))
    scenes = [_pack_scene(item, folder, options, progress) for item in dataset]
    progress.finish()
    index = PackedIndex(made_with=__version__, scenes=tuple(scenes))
    (folder / INDEX_FILE).write_text(index.model_dump_json(indent=1), encoding="utf-8")
    return index


def _pack_scene(
    item: LoadedScene, folder: Path, options: PackOptions, progress: Progress
) -> PackedScene:
    scene = item.scene
    if options.gsd_m is not None:
        scene = reduce_scene(scene, options.gsd_m)
    height, width = scene.labels.shape
    heights_m = None
    if scene.heights_m is not None:
        heights_m = tuple(None if np.isnan(h) else float(h) for h in scene.heights_m)
    offsets_m = None
    if scene.offsets_m is not None:
        steps = scene.offsets_m.tolist()
        offsets_m = tuple((x, y) if math.isfinite(x) else None for x, y in steps)
    entry = PackedScene(
        name=scene.name,
        height=height,
        width=width,
        gsd_m=scene.gsd_m,
        instances=scene.instances,
        heights_m=heights_m,
        offsets_m=offsets_m,
        roof_parts=scene.roof_parts is not None,
        label_bits=16 if _largest(scene) < 1 << 16 else 24,
        image_suffix=".png" if options.jpeg is None else ".jpg",
        sources=item.hashes,
        chunks=(),
    )
    (folder / scene.name.split("/", 1)[1]).mkdir()
    corners = [(r, c) for r in range(0, height, CHUNK_PX) for c in range(0, width, CHUNK_PX)]
    chunks = []
    for row, col in corners:
        size = {"height": min(CHUNK_PX, height - row), "width": min(CHUNK_PX, width - col)}
        chunk = ChunkEntry(row=row, col=col, **size, sha256={})
        hashes: dict[Part, str] = {}
        for part, data in _encode(scene, chunk, entry.label_bits, options.jpeg).items():
            entry.path(folder, chunk, part).write_bytes(data)
            hashes[part] = hashlib.sha256(data).hexdigest()
        chunks.append(chunk.model_copy(update={"sha256": hashes}))
        progress.advance(1 / len(corners))
    sources = item.hashes
    if scene is not item.scene or options.jpeg is not None:
        # Other pixels than those of the sources make another run.
        every = "".join(digest for chunk in chunks for digest in chunk.sha256.values())
        sources = {**sources, f"{scene.name}:packed": hashlib.sha256(every.encode()).hexdigest()}
    return entry.model_copy(update={"chunks": tuple(chunks), "sources": sources})


def _encode(
    scene: LabelledScene, chunk: ChunkEntry, label_bits: int, jpeg: int | None
) -> dict[Part, bytes]:
    """The files of a chunk."""
    place = chunk.window.slices
    masks = VALID_BIT * scene.valid[place].astype(np.uint8)
    masks |= KNOWN_BIT * scene.known[place].astype(np.uint8)
    suffix, settings = ".png", PHOTO
    if jpeg is not None:
        suffix, settings = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, jpeg]
    files: dict[Part, bytes] = {
        "image": _to_bytes(suffix, scene.image[place][..., ::-1], settings),
        "labels": _to_bytes(".png", _as_pixels(scene.labels[place], label_bits), DRAWING),
        "masks": _to_bytes(".png", masks, DRAWING),
    }
    if scene.roof_parts is not None:
        parts = _as_pixels(scene.roof_parts[place], label_bits)
        files["roof_parts"] = _to_bytes(".png", parts, DRAWING)
    return files


def _largest(scene: LabelledScene) -> int:
    """The largest number of a building or a part."""
    parts = 0 if scene.roof_parts is None else scene.roof_parts.max()
    return int(max(scene.labels.max(), parts))


def _as_pixels(numbers: NDArray[np.int32], bits: int) -> NDArray[Any]:
    """Numbers `(h, w)` as 16-bit gray, or `(h, w, 3)` as the bytes of 24 bits."""
    if bits == 16:
        return numbers.astype(np.uint16)
    return (numbers[..., None] >> np.array([0, 8, 16], np.int32)).astype(np.uint8)


def _to_bytes(suffix: str, pixels: NDArray[Any], settings: list[int]) -> bytes:
    _, data = cv2.imencode(suffix, np.ascontiguousarray(pixels), settings)
    return data.tobytes()


def reduce_scene(scene: LabelledScene, gsd_m: float) -> LabelledScene:
    """The scene at `gsd_m` metres per pixel; the scene itself where it is not finer."""
    if scene.gsd_m >= gsd_m:
        return scene
    shape = scene.labels.shape
    height, width = (max(1, round(size * scene.gsd_m / gsd_m)) for size in shape)
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip((height, width), shape, strict=True)
    )
    nearest = np.ix_(rows, cols)
    valid = scene.valid[nearest]
    image = np.empty((height, width, 3), np.uint8)
    share = _area_mean(scene.valid.astype(np.float32), width, height)
    # A new pixel is valid where its middle is, so some of its area is.
    share = np.maximum(share, np.finfo(np.float32).tiny)
    for band in range(3):
        light = np.where(scene.valid, scene.image[..., band], np.float32(0))
        image[..., band] = np.rint(_area_mean(light, width, height) / share).clip(0, 255)
    image[~valid] = FILL_RGB
    return replace(
        scene,
        image=image,
        labels=scene.labels[nearest],
        valid=valid,
        known=scene.known[nearest],
        roof_parts=None if scene.roof_parts is None else scene.roof_parts[nearest],
        gsd_m=scene.gsd_m * float(np.sqrt(shape[0] / height * shape[1] / width)),
    )


def _area_mean(values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA), np.float32)


@contextlib.contextmanager
def _fresh_folder(final: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `final` that takes its name when the block ends well."""
    if final.exists() and not overwrite:
        raise OutputExistsError(
            f"the output {final} exists already", hint="use --overwrite or choose another name"
        )
    if final.exists() and not _is_pool(final):
        raise UsageError(
            f"got {final} to overwrite, which holds other things than packed datasets",
            hint="choose another folder, or remove it yourself",
        )
    if not final.parent.is_dir():
        raise NotWritableError(
            f"got the output {final}, but the folder {final.parent} does not exist",
            hint="make the folder first or choose another output",
        )
    temporary, old = (
        final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.{kind}") for kind in ("new", "old")
    )
    try:
        temporary.mkdir()
        yield temporary
        if final.exists():
            final.rename(old)
        temporary.rename(final)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise as_output_error(error, final) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not final.exists():
            old.rename(final)
        shutil.rmtree(old, ignore_errors=True)


def _is_pool(folder: Path) -> bool:
    return folder.is_dir() and all((child / INDEX_FILE).is_file() for child in folder.iterdir())
