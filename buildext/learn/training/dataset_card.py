"""A dataset card: which images and labels belong together, and what may be done with them.

A card is `datasets/<name>/dataset.toml`. It holds no pixels; its paths are relative to a root that
the user sets (`BUILDEXT_DATA`, or `data_root` in a config), or to the card's own folder for samples
that lie beside it. `instances = true` promises that touching buildings are separate objects in the
labels; only such datasets teach the contact channel.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from buildext.errors import LabelError, MissingInputError


class SceneEntry(BaseModel):
    """One image, or a glob of images, and its labels.

    `labels` is a vector file or a mask (any value above 0 is building). With a glob in `image`,
    `{stem}` in `labels` stands for the image's file name without suffix.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str
    labels: str


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
    """One image and its labels, found on disk; `name` is `dataset/stem`."""

    name: str
    image: Path
    labels: Path


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
        MissingInputError: an image or its labels are not there.
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
            labels = root / entry.labels.format(stem=image.stem)
            if not labels.is_file():
                raise MissingInputError(
                    f"got no labels at {labels} for the image {image.name}",
                    hint=f"correct `labels` in the card of {card.name}",
                )
            found.append(ScenePaths(f"{card.name}/{image.stem}", image, labels))
    return sorted(found, key=lambda scene: scene.name)


def _matches(path: Path, root: Path, pattern: str) -> bool:
    return path.relative_to(root).match(pattern)
