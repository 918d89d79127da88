"""Every card in the repository is valid, and a card finds its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildext.errors import LabelError, MissingInputError
from buildext.learn.training.data.dataset_card import SceneEntry, find_scenes, load_card

DATASETS = Path(__file__).parents[4] / "datasets"
CARDS = sorted(DATASETS.glob("*/dataset.toml"))


@pytest.mark.parametrize("path", CARDS, ids=lambda p: p.parent.name)
def test_cards_of_the_repository_name_their_terms(path: Path) -> None:
    card = load_card(path)
    assert card.name == path.parent.name
    assert card.licence
    assert card.attribution
    assert (path.parent / "README.md").is_file()


def test_there_are_cards() -> None:
    assert len(CARDS) >= 12


def test_images_and_their_masks_are_told_apart(dataset_folder: Path, tmp_path: Path) -> None:
    card = load_card(dataset_folder / "dataset.toml")
    entry = card.scenes[0].model_copy(
        update={"image": "many/*_img*.tif", "labels": "many/{stem}_mask.tif"}
    )
    card = card.model_copy(update={"scenes": (entry,)})
    (tmp_path / "many").mkdir()
    for name in ("b_img2.tif", "b_img2_mask.tif", "a_img1.tif", "a_img1_mask.tif"):
        (tmp_path / "many" / name).touch()
    found = find_scenes(card, tmp_path)
    assert [scene.name for scene in found] == ["town/a_img1", "town/b_img2"]
    assert [scene.labels.name for scene in found] == ["a_img1_mask.tif", "b_img2_mask.tif"]
    (tmp_path / "many" / "b_img2_mask.tif").unlink()
    with pytest.raises(MissingInputError, match="no labels at"):
        find_scenes(card, tmp_path)
    with pytest.raises(MissingInputError, match="no file at"):
        find_scenes(card, dataset_folder)


def test_an_area_is_found_beside_its_image_and_names_stay_apart(
    dataset_folder: Path, tmp_path: Path
) -> None:
    card = load_card(dataset_folder / "dataset.toml")
    for name in ("a.tif", "a.gpkg", "a_area.gpkg", "more/a.tif", "more/a.gpkg", "b.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    entry = SceneEntry(image="a.tif", labels="{stem}.gpkg", area="{stem}_area.gpkg")
    (found,) = find_scenes(card.model_copy(update={"scenes": (entry,)}), tmp_path)
    assert found.area == tmp_path / "a_area.gpkg"
    assert list(found.files()) == ["image", "labels", "area"]
    lost = entry.model_copy(update={"image": "b.tif", "labels": "a.gpkg"})
    with pytest.raises(MissingInputError, match=r"no area at .*b_area\.gpkg"):
        find_scenes(card.model_copy(update={"scenes": (lost,)}), tmp_path)
    twin = SceneEntry(image="more/a.tif", labels="more/a.gpkg")
    with pytest.raises(LabelError, match="both be the scene town/a"):
        find_scenes(card.model_copy(update={"scenes": (entry, twin)}), tmp_path)


def test_a_wrong_card_is_refused(dataset_folder: Path) -> None:
    path = dataset_folder / "dataset.toml"
    path.write_text(path.read_text().replace('quality = "clean"', 'quality = "fine"'))
    with pytest.raises(LabelError, match="quality"):
        load_card(path)
    with pytest.raises(MissingInputError):
        load_card(dataset_folder / "other.toml")
    path.write_text(path.read_text().replace('"fine"', '"clean"') + 'area_layer = "surveyed"\n')
    with pytest.raises(LabelError, match="area_layer names a layer"):
        load_card(path)
