"""The cache: whole entries or none, never too many, and the same numbers with it and without."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from buildext.engines import cache
from buildext.engines.cache import cache_folder, forget, keep, key_of, recall
from buildext.engines.choose import make_engine
from buildext.engines.openvino import OpenVinoEngine
from buildext.models.store import Model
from tests import real

TILE_PX = 64


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("BUILDEXT_CACHE", str(tmp_path / "deep" / "cache"))
    return cache_folder()


def test_what_is_kept_comes_back(folder: Path) -> None:
    assert recall("a") is None
    keep("a", b"first")
    keep("a", b"second")
    assert recall("a") == b"second"
    assert [path.name for path in folder.iterdir()] == ["a"]
    forget("a")
    forget("a")
    assert recall("a") is None


@pytest.mark.parametrize("damage", [slice(0, 40), slice(0, 5), slice(0, 0), slice(1, None)])
def test_a_damaged_entry_is_as_good_as_none(folder: Path, damage: slice) -> None:
    keep("a", b"a value of some length")
    path = folder / "a"
    path.write_bytes(path.read_bytes()[damage])
    assert recall("a") is None
    assert not path.exists()


def test_a_folder_that_cannot_be_written_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BUILDEXT_CACHE", str(tmp_path / "file"))
    keep("a", b"value")
    assert recall("a") is None


def test_what_was_not_used_for_longest_goes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LARGEST_BYTES", 400)
    for age, key in ((30, "oldest"), (20, "used"), (10, "young")):
        keep(key, bytes(100))
        os.utime(folder / key, (1e9 - age, 1e9 - age))
    assert recall("used") is not None
    keep("new", bytes(100))
    assert {path.name for path in folder.iterdir()} == {"used", "young", "new"}


def test_keys_tell_what_differs() -> None:
    assert key_of("a", 1, {"b": True}) == key_of("a", 1, {"b": True})
    keys = [key_of("a", 1), key_of("a", 2), key_of("a1"), key_of("a", "1"), key_of("b", 1)]
    assert len(set(keys)) == len(keys)


def test_a_network_that_was_kept_says_the_same_to_the_last_bit(folder: Path, model: Model) -> None:
    tiles = real.pixels(TILE_PX)[None]

    def engine(tile_px: int = TILE_PX) -> OpenVinoEngine:
        made = make_engine(model, engine="openvino", tile_px=tile_px)
        assert isinstance(made, OpenVinoEngine)
        return made

    fresh = engine()
    (entry,) = folder.iterdir()
    written = entry.stat()
    again = engine()
    assert again.info == fresh.info
    np.testing.assert_array_equal(again.infer(tiles), fresh.infer(tiles))
    # It was read and not made: nothing was written.
    assert entry.stat().st_ino == written.st_ino
    # What is whole but no network is made again.
    keep(entry.name, b"no network")
    np.testing.assert_array_equal(engine().infer(tiles), fresh.infer(tiles))
    assert entry.stat().st_size > len(b"no network") + 1000
    # Another tile size is another network.
    engine(2 * TILE_PX)
    assert len(list(folder.iterdir())) == 2


def test_a_network_made_for_one_look_drives_nothing_out(folder: Path, model: Model) -> None:
    once = OpenVinoEngine(model.weights, TILE_PX)
    assert not folder.exists()
    tiles = real.pixels(TILE_PX)[None]
    kept = make_engine(model, engine="openvino", tile_px=TILE_PX)
    np.testing.assert_array_equal(once.infer(tiles), kept.infer(tiles))
