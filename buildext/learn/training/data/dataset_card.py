"""A dataset card: which images and labels belong together, and what may be done with them.

A card is `datasets/<name>/dataset.toml`. It holds no pixels; its paths are relative to a root that
the user sets (`BUILDEXT_DATA`, or `data_root` in a config), or to the card's own folder for samples
that lie beside it. `instances = true` promises that touching buildings are separate objects in the
labels; only such datasets teach the contact channel. An `area` says where the labels are complete:
outside it nothing is known, neither building nor background.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from buildext.errors import LabelError, MissingInputError


class SceneEntry(BaseModel):
    """One image, or a glob of images, and its labels.

    With a glob in `image`, `{stem}` in `labels`, `offset_labels` and `area` stands for the image's
    file name without suffix.

    Attributes:
        image: the image, or a glob of images.
        labels: a vector file or a mask (any value above 0 is building).
        layer: the layer of the labels' file, where it holds several.
        height_field: the attribute of the labels that holds heights above the ground in metres.
        offset_fields: the two attributes of the labels, east and north in metres, that hold the
            step from each roof to its footprint.
        offset_labels: a vector file of parts of roofs, such as the tiers of towers, that have the
            `offset_fields` and the `height_field` in the place of the labels: a pixel of a roof has
            the step of the highest part over it.
        area: a vector file; labels are complete inside its polygons and unknown outside.
        area_layer: the layer of the area's file, where it holds several.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str
    labels: str
    layer: str | None = None
    height_field: str | None = None
    offset_fields: tuple[str, str] | None = None
    offset_labels: str | None = None
    area: str | None = None
    area_layer: str | None = None

    @model_validator(mode="after")
    def _area_of_layer(self) -> SceneEntry:
        if self.area_layer is not None and self.area is None:
            raise ValueError("area_layer names a layer of `area`, which is missing")
        return self

    @model_validator(mode="after")
    def _fields_of_offset_labels(self) -> SceneEntry:
        if self.offset_labels is not None and None in (self.offset_fields, self.height_field):
            raise ValueError("offset_labels needs `offset_fields` and `height_field`, its columns")
        return self


class DatasetCard(BaseModel):
    """What a dataset is and under which terms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    sensor: str
    gsd_m: float = Field(gt=0)
    instances: bool
    quality: Literal["clean", "noisy", "incomplete"]
    use: Literal["train", "validate"] = "train"
    licence: str
    attribution: str
    origin: str
    redistribute: bool
    scenes: tuple[SceneEntry, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class ScenePaths:
    """One image and its labels, found on disk.

    Attributes:
        name: `dataset/stem`.
        image: the image file.
        labels: the label file.
        area: the file of the area of complete labels, if there is one.
        entry: the entry of the card that the files were found by.
        offsets: the file of the parts of roofs that have the steps, if it is another than that of
            the labels.
    """

    name: str
    image: Path
    labels: Path
    area: Path | None
    entry: SceneEntry
    offsets: Path | None = None

    def files(self) -> dict[str, Path]:
        """All files that the scene is read from, by their part in it."""
        files = {"image": self.image, "labels": self.labels}
        others = {"offsets": self.offsets, "area": self.area}
        return files | {part: path for part, path in others.items() if path is not None}


def load_card(path: Path) -> DatasetCard:
    """Read one card.

    Raises:
        MissingInputError: there is no card at `path`.
        LabelError: it is no valid card.
    """
    try:
        return DatasetCard.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise MissingInputError(
            f"got no dataset card at {path}", hint="check `datasets` in the config"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise LabelError(f"{path} is no valid TOML: {error}", hint="correct the card") from error
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise LabelError(f"{path}: {key}: {problem['msg']}", hint="correct the card") from error


def find_scenes(card: DatasetCard, root: Path) -> list[ScenePaths]:
    """All scenes of a card below `root`, sorted by name.

    Raises:
        MissingInputError: an image, its labels or its area are not there.
        LabelError: two images have the same name.
    """
    found = []
    for entry in card.scenes:
        # A mask beside its image must not be taken for another image.
        masks = entry.labels.replace("{stem}", "*")
        images = [p for p in sorted(root.glob(entry.image)) if not _matches(p, root, masks)]
        if not images:
            raise MissingInputError(
                f"got no file at {root / entry.image} for the dataset {card.name}",
                hint="set BUILDEXT_DATA to the folder that the cards' paths start from",
            )
        for image in images:
            labels = _companion(root, entry.labels, image, "labels", card)
            area = offsets = None
            if entry.area is not None:
                area = _companion(root, entry.area, image, "area", card)
            if entry.offset_labels is not None:
                offsets = _companion(root, entry.offset_labels, image, "offset_labels", card)
            name = f"{card.name}/{image.stem}"
            found.append(ScenePaths(name, image, labels, area, entry, offsets))
    found.sort(key=lambda scene: scene.name)
    for one, other in pairwise(found):
        if one.name == other.name:
            raise LabelError(
                f"got {one.image} and {other.image}, which would both be the scene {one.name}",
                hint="rename one; a scene is named after its image without suffix",
            )
    return found


def _companion(root: Path, pattern: str, image: Path, key: str, card: DatasetCard) -> Path:
    path = root / pattern.format(stem=image.stem)
    if not path.is_file():
        raise MissingInputError(
            f"got no {key} at {path} for the image {image.name}",
            hint=f"correct `{key}` in the card of {card.name}",
        )
    return path


def _matches(path: Path, root: Path, pattern: str) -> bool:
    return path.relative_to(root).match(pattern)
