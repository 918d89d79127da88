"""Finding models and telling whole ones from damaged ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from buildext.errors import DamagedModelError, ModelError, UnknownModelError
from buildext.models.card import CARD_NAME, Card, NetworkSpec, read_card
from buildext.models.store import (
    BUNDLED,
    WEIGHTS_NAME,
    bundled_names,
    load_model,
    sha256_of,
    write_model_card,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with weights of a few bytes; nothing here reads them as a network."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / WEIGHTS_NAME).write_bytes(b"weights")
    (folder / "notes.txt").write_bytes(b"notes")
    card = Card(
        name="mine",
        network=NetworkSpec(encoder="tu-tf_efficientnetv2_b0"),
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        gsd={"min_m": 0.1, "max_m": 0.6, "preferred_m": 0.3},  # type: ignore[arg-type]
    )
    write_model_card(folder, card)
    return folder


def test_writing_a_card_hashes_every_other_file(folder: Path) -> None:
    card = read_card(folder)
    assert card.files == {
        WEIGHTS_NAME: hashlib.sha256(b"weights").hexdigest(),
        "notes.txt": hashlib.sha256(b"notes").hexdigest(),
    }
    assert load_model(folder).card == card
    assert load_model(str(folder)).weights == folder / WEIGHTS_NAME
    assert write_model_card(folder, card) == card
    assert sorted(path.name for path in folder.iterdir()) == [CARD_NAME, WEIGHTS_NAME, "notes.txt"]


@pytest.mark.parametrize("name", [WEIGHTS_NAME, "notes.txt"])
def test_any_changed_or_missing_file_is_found(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(DamagedModelError, match=rf"{name} has sha256 .* the card expects"):
        load_model(folder)
    (folder / name).unlink()
    with pytest.raises(DamagedModelError, match=f"{name} is missing"):
        load_model(folder)


def test_a_card_must_name_the_weights(folder: Path) -> None:
    card = read_card(folder).model_copy(update={"files": {}})
    (folder / CARD_NAME).write_text(card.dumps(), "utf-8")
    with pytest.raises(DamagedModelError, match=f"names no {WEIGHTS_NAME}"):
        load_model(folder)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownModelError) as caught:
        load_model("defaul")
    assert "'defaul'" in str(caught.value)
    assert caught.value.hint == "did you mean 'default'?"
    with pytest.raises(UnknownModelError) as caught:
        load_model("zzz")
    assert "buildext models list" in caught.value.hint


@pytest.mark.parametrize("name", ["", ".", "..", "../models", "default/.."])
def test_a_name_does_not_lead_out_of_the_bundled_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError):
        load_model(name)


def test_the_bundled_models_are_whole_and_say_where_they_come_from() -> None:
    assert "default" in bundled_names()
    for name in bundled_names():
        model = load_model(name)
        card = model.card
        assert model.folder == BUNDLED / name
        assert card.name == name
        assert card.files[WEIGHTS_NAME] == sha256_of(model.weights)
        assert card.training_data
        assert all(data.licence for data in card.training_data)
        assert card.scores


def test_the_accurate_model_is_the_default_one_looked_at_twice() -> None:
    default, accurate = load_model("default"), load_model("accurate")
    assert accurate.weights == default.weights
    assert accurate.files == default.folder
    # Found by its folder, as by its name: programs that were given a name pass the folder on.
    assert load_model(accurate.folder).card == accurate.card
    assert accurate.card.files == default.card.files
    assert (default.card.second_scale, accurate.card.second_scale) == (None, 1.5)


def test_weights_of_a_model_that_is_not_there_are_refused(folder: Path) -> None:
    card = read_card(folder).model_copy(update={"weights_of": "../default"})
    (folder / CARD_NAME).write_text(card.dumps(), "utf-8")
    with pytest.raises(UnknownModelError, match="takes the weights of"):
        load_model(folder)


def test_a_new_card_has_weights_of_its_own(folder: Path) -> None:
    card = read_card(folder).model_copy(update={"weights_of": "default"})
    assert write_model_card(folder, card).weights_of == ""
