"""A dataset in a folder: its card and its scenes, read one after the other.

Scenes come from the files that the card names (GeoTIFF and polygons) or, where the folder holds an
`index.json`, from a packed copy (see `packing`), which needs no geodata library. Both give the same
scenes to the last bit, under the same hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buildext.errors import MissingInputError
from buildext.learn.training.dataset_card import DatasetCard, ScenePaths, find_scenes, load_card
from buildext.learn.training.provenance import hash_file
from buildext.learn.training.scenes import LabelledScene

CARD_FILE = "dataset.toml"


@dataclass(frozen=True, slots=True)
class LoadedScene:
    """A scene and the sha256 of every file that it comes from, by `name:part`."""

    scene: LabelledScene
    hashes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A card and the scenes found for it; iterating reads them, one at a time.

    Attributes:
        card: what the dataset is.
        found: the files of each scene, sorted by name.
    """

    card: DatasetCard
    found: tuple[ScenePaths, ...]

    def __len__(self) -> int:
        """The number of scenes."""
        return len(self.found)

    def __iter__(self) -> Iterator[LoadedScene]:
        """Read the scenes in the order of their names.

        Raises:
            InputError: a file is unusable.
        """
        from buildext.learn.training.reading import read_scene

        for paths in self.found:
            scene = read_scene(paths, self.card.instances)
            files = paths.files()
            hashes = {f"{paths.name}:{part}": hash_file(path) for part, path in files.items()}
            yield LoadedScene(scene, hashes)


def open_dataset(folder: Path, data_root: Path | None) -> Dataset:
    """The dataset whose card lies in `folder`; no scene is read yet.

    Args:
        folder: holds `dataset.toml`.
        data_root: where the card's paths start, unless the files lie beside the card.

    Raises:
        MissingInputError: there is no card, or a file that it names is not there.
        LabelError: the card is not valid.
    """
    card = load_card(folder / CARD_FILE)
    # Samples lie beside their card; everything else below the user's root.
    if all(any(folder.glob(entry.image)) for entry in card.scenes):
        data_root = folder
    if data_root is None:
        raise MissingInputError(
            f"got no files of the dataset {card.name} beside its card, and no data root",
            hint="set BUILDEXT_DATA, or `data_root` in a config, to where its paths start",
        )
    return Dataset(card, tuple(find_scenes(card, data_root)))
