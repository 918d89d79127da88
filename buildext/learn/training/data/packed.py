"""A packed dataset: scenes as plain image files under one index, read without geodata libraries.

A folder holds `dataset.toml` (the card, as it was), `index.json` and one folder a scene. A scene is
cut into chunks of at most 1024 px, three files each:

- `ROW_COL.image.png` (or `.jpg`): RGB;
- `ROW_COL.labels.png`: numbers of buildings, 16-bit gray, or RGB as 24 bits where there are more;
- `ROW_COL.masks.png`: 8-bit gray; bit 0: the image is valid, bit 1: the label is known;

and a fourth, `ROW_COL.roof_parts.png`, numbers again, where a step from roof to footprint belongs
to a part of a roof and not to a label.

Everything else that a `LabelledScene` is stands in the index, with the sha256 of every chunk and of
the files that the scene was made from: a run trained from a packed copy is the same run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from buildext.errors import LabelError, SceneError
from buildext.grid.window import Window
from buildext.learn.training.data.dataset_card import DatasetCard
from buildext.learn.training.data.scenes import FILL_RGB, LabelledScene, LoadedScene

INDEX_FILE = "index.json"
CHUNK_PX = 1024
VALID_BIT, KNOWN_BIT = 1, 2

Part = Literal["image", "labels", "masks", "roof_parts"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChunkEntry(_Entry):
    """One chunk: its place in the scene in pixels, and the sha256 of its files."""

    row: int = Field(ge=0)
    col: int = Field(ge=0)
    height: int = Field(gt=0, le=CHUNK_PX)
    width: int = Field(gt=0, le=CHUNK_PX)
    sha256: dict[Part, str]

    @property
    def window(self) -> Window:
        """The chunk's place."""
        return Window(self.row, self.col, self.height, self.width)


class PackedScene(_Entry):
    """One scene of the index.

    Attributes:
        name: `dataset/stem`; the files lie in the folder `stem`.
        heights_m: by label, null where unknown; null where there are none at all.
        offsets_m: steps from roof to footprint by label, or by part of a roof, null where unknown;
            null without any.
        roof_parts: whether the steps are by part.
        label_bits: 16, or 24 where there are more buildings or parts.
        image_suffix: `.png`, or `.jpg` where the image was compressed with losses.
        sources: sha256 of the files that the scene was made from, by `name:part`.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+/[^/\\]*[^/\\.][^/\\]*$")
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    gsd_m: float = Field(gt=0)
    instances: bool
    heights_m: tuple[float | None, ...] | None
    offsets_m: tuple[tuple[float, float] | None, ...] | None = None
    roof_parts: bool = False
    label_bits: Literal[16, 24]
    image_suffix: Literal[".png", ".jpg"]
    sources: dict[str, str]
    chunks: tuple[ChunkEntry, ...]

    def path(self, folder: Path, chunk: ChunkEntry, part: Part) -> Path:
        """The file of a part of a chunk, in the dataset's folder."""
        suffix = self.image_suffix if part == "image" else ".png"
        stem = self.name.split("/", 1)[1]
        return folder / stem / f"{chunk.row}_{chunk.col}.{part}{suffix}"


class PackedIndex(_Entry):
    """What `index.json` holds."""

    format: Literal["buildext-packed"] = "buildext-packed"
    version: Literal[1] = 1
    made_with: str
    scenes: tuple[PackedScene, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class PackedDataset:
    """A packed dataset; iterating reads its scenes, one at a time."""

    card: DatasetCard
    folder: Path
    index: PackedIndex

    def __len__(self) -> int:
        """The number of scenes."""
        return len(self.index.scenes)

    def __iter__(self) -> Iterator[LoadedScene]:
        """Read the scenes.

        Raises:
            SceneError: a file is missing or damaged.
        """
        for entry in self.index.scenes:
            yield LoadedScene(read_packed(self.folder, entry), dict(entry.sources))


def load_index(folder: Path) -> PackedIndex:
    """The index of the packed dataset in `folder`.

    Raises:
        LabelError: it is not valid, or of another version.
    """
    path = folder / INDEX_FILE
    try:
        return PackedIndex.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise LabelError(
            f"{path}: {key}: {problem['msg']}", hint="pack the dataset anew with this buildext"
        ) from error


def read_packed(folder: Path, entry: PackedScene) -> LabelledScene:
    """One scene of a packed dataset.

    Raises:
        SceneError: a file is missing or damaged.
    """
    shape = entry.height, entry.width
    image = np.empty((*shape, 3), np.uint8)
    labels = np.empty(shape, np.int32)
    masks = np.empty(shape, np.uint8)
    parts = np.empty(shape, np.int32) if entry.roof_parts else None
    for chunk in entry.chunks:
        place = chunk.window.slices
        image[place] = _decode(folder, entry, chunk, "image")[..., ::-1]
        masks[place] = _decode(folder, entry, chunk, "masks")
        labels[place] = _numbers(folder, entry, chunk, "labels")
        if parts is not None:
            parts[place] = _numbers(folder, entry, chunk, "roof_parts")
    valid, known = (masks & VALID_BIT) > 0, (masks & KNOWN_BIT) > 0
    if entry.image_suffix == ".jpg":
        image[~valid] = FILL_RGB
    heights_m = None
    if entry.heights_m is not None:
        heights_m = np.array([np.nan if h is None else h for h in entry.heights_m], np.float32)
    offsets_m = None
    if entry.offsets_m is not None:
        unknown = (np.nan, np.nan)
        offsets_m = np.array([o or unknown for o in entry.offsets_m], np.float32)
    return LabelledScene(
        entry.name,
        image,
        labels,
        valid,
        known,
        entry.instances,
        entry.gsd_m,
        heights_m,
        offsets_m,
        parts,
    )


def _numbers(folder: Path, entry: PackedScene, chunk: ChunkEntry, part: Part) -> NDArray[Any]:
    numbers = _decode(folder, entry, chunk, part)
    if entry.label_bits == 24:
        numbers = numbers.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
    return numbers


def _decode(folder: Path, entry: PackedScene, chunk: ChunkEntry, part: Part) -> NDArray[Any]:
    """The pixels of one file, colours in OpenCV's order (blue first)."""
    path = entry.path(folder, chunk, part)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SceneError(
            f"cannot read {path}: {error.strerror}", hint="copy or pack the dataset anew"
        ) from error
    if hashlib.sha256(data).hexdigest() != chunk.sha256[part]:
        raise SceneError(
            f"got {path} with another sha256 than its index holds; the file is damaged",
            hint="copy or pack the dataset anew",
        )
    colour = part == "image" or (part != "masks" and entry.label_bits == 24)
    flag = cv2.IMREAD_COLOR if colour else cv2.IMREAD_UNCHANGED
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if pixels is None or pixels.shape[:2] != (chunk.height, chunk.width):
        raise SceneError(f"got {path}, which is no such image", hint="pack the dataset anew")
    return np.asarray(pixels)
