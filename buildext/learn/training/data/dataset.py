"""A dataset in a folder: its card and its scenes, read one after the other.

Scenes come from the files that the card names (GeoTIFF and polygons) or, where the folder holds an
`index.json`, from a packed copy (see `packed`), which needs no geodata library. Both give the same
scenes to the last bit, under the same hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from buildext.errors import MissingInputError
from buildext.learn.training.data.dataset_card import (
    DatasetCard,
    ScenePaths,
    find_scenes,
    load_card,
)
from buildext.learn.training.data.packed import INDEX_FILE, PackedDataset, load_index
from buildext.learn.training.data.scenes import LoadedScene
from buildext.learn.training.provenance import hash_file

CARD_FILE = "dataset.toml"


class Dataset(Protocol):
    """A card and its scenes; iterating reads them, one at a time, in the order of their names."""

    @property
    def card(self) -> DatasetCard:
        """What the dataset is."""

    def __len__(self) -> int:
        """The number of scenes."""

    def __iter__(self) -> Iterator[LoadedScene]:
        """Read the scenes.

        Raises:
            InputError: a file is unusable.
        """


@dataclass(frozen=True, slots=True)
class FileDataset:
    """A dataset of images and labels as they came, read with the geodata libraries."""

    card: DatasetCard
    found: tuple[ScenePaths, ...]

    def __len__(self) -> int:
        """The number of scenes."""
        return len(self.found)

    def __iter__(self) -> Iterator[LoadedScene]:
        """Read the scenes."""
        from buildext.learn.training.data.reading import read_scene

        for paths in self.found:
            scene = read_scene(paths, self.card.instances)
            files = paths.files()
            hashes = {f"{paths.name}:{part}": hash_file(path) for part, path in files.items()}
            yield LoadedScene(scene, hashes)


def open_dataset(folder: Path, data_root: Path | None) -> Dataset:
    """The dataset whose card lies in `folder`; no scene is read yet.

    Args:
        folder: holds `dataset.toml`, and `index.json` where it is packed.
        data_root: where the card's paths start, unless the files lie beside the card.

    Raises:
        MissingInputError: there is no card, or a file that it names is not there.
        LabelError: the card or the index is not valid.
    """
    card = load_card(folder / CARD_FILE)
    if (folder / INDEX_FILE).is_file():
        return PackedDataset(card, folder, load_index(folder))
    # Samples lie beside their card; everything else below the user's root.
    if all(any(folder.glob(entry.image)) for entry in card.scenes):
        data_root = folder
    if data_root is None:
        raise MissingInputError(
            f"got no files of the dataset {card.name} beside its card, and no data root",
            hint="set BUILDEXT_DATA, or `data_root` in a config, to where its paths start",
        )
    return FileDataset(card, tuple(find_scenes(card, data_root)))
