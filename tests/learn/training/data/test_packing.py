"""A packed dataset is the same dataset, and needs no geodata library."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from buildext.cli.main import run
from buildext.errors import LabelError, MissingInputError, OutputExistsError, SceneError, UsageError
from buildext.learn.training.data import packed, packing
from buildext.learn.training.data.dataset import open_dataset
from buildext.learn.training.data.packing import PackOptions, pack, reduce_scene
from buildext.learn.training.data.scenes import FILL_RGB, LabelledScene, LoadedScene


def assert_same(one: LabelledScene, other: LabelledScene) -> None:
    for field in dataclasses.fields(LabelledScene):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right, field.name


@dataclasses.dataclass(frozen=True)
class InMemory:
    """A dataset that is not on disk: one scene with everything in it."""

    folder: Path
    scene: LabelledScene

    def write(self, out: Path, options: PackOptions | None = None) -> LoadedScene:
        """Pack it and read it again."""
        shutil.copytree(self.folder, out, ignore=shutil.ignore_patterns("*.tif", "*.gpkg"))
        item = LoadedScene(self.scene, {"town/scene:image": "0" * 64})
        entry = packing._pack_scene(item, out, options or PackOptions(), packing.SilentProgress())
        index = packed.PackedIndex(made_with="0", scenes=(entry,))
        (out / packed.INDEX_FILE).write_text(index.model_dump_json())
        (loaded,) = open_dataset(out, None)
        return loaded


@pytest.fixture
def rich(dataset_folder: Path, scene: LabelledScene) -> InMemory:
    """A scene with areas that are invalid, unknown, and buildings of some heights."""
    valid, known, image = scene.valid.copy(), scene.known.copy(), scene.image.copy()
    valid[:50, :70] = False
    known[300:, 200:] = False
    image[~valid] = FILL_RGB
    heights = np.linspace(0, 130, scene.labels.max() + 1).astype(np.float32)
    heights[5] = np.nan
    # Steps by parts of roofs: more of them than buildings.
    offsets = np.linspace(-40, 60, 140).astype(np.float32).reshape(70, 2)
    offsets[[0, 9]] = np.nan
    parts = np.where(scene.labels > 0, 1 + np.arange(scene.labels.shape[1]) % 69, 0)
    changed = dataclasses.replace(
        scene,
        image=image,
        valid=valid,
        known=known,
        heights_m=heights,
        offsets_m=offsets,
        roof_parts=parts.astype(np.int32),
        gsd_m=0.2512345678901234,
    )
    return InMemory(dataset_folder, changed)


def test_a_packed_dataset_is_the_same_to_the_last_bit(dataset_folder: Path, tmp_path: Path) -> None:
    summary = pack([dataset_folder], None, tmp_path / "pool")
    assert (summary.datasets, summary.scenes, summary.pixels) == (1, 1, 512 * 640)
    before, after = (
        open_dataset(folder, None) for folder in (dataset_folder, tmp_path / "pool" / "town")
    )
    assert before.card == after.card
    assert len(before) == len(after) == 1
    for one, other in zip(before, after, strict=True):
        assert_same(one.scene, other.scene)
        assert one.hashes == other.hashes
    # Packing what is packed changes nothing either.
    pack([tmp_path / "pool" / "town"], None, tmp_path / "again")
    names = [path.relative_to(tmp_path / "pool") for path in (tmp_path / "pool").rglob("*.*")]
    assert len(names) == 5
    for name in names:
        assert (tmp_path / "pool" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_masks_heights_and_resolution_survive(
    rich: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Chunks of 200 px: several, and narrow ones at the far edges.
    monkeypatch.setattr(packing, "CHUNK_PX", 200)
    loaded = rich.write(tmp_path / "out")
    assert_same(rich.scene, loaded.scene)
    assert loaded.hashes == {"town/scene:image": "0" * 64}
    assert len(list((tmp_path / "out" / "scene").iterdir())) == 3 * 4 * 4


def test_more_than_65_535_buildings_survive(rich: InMemory, tmp_path: Path) -> None:
    labels = np.where(rich.scene.labels > 0, rich.scene.labels + 70_000, 0).astype(np.int32)
    labels[0, 0] = 2**24 - 1
    many = dataclasses.replace(rich.scene, labels=labels, heights_m=None)
    assert_same(many, InMemory(rich.folder, many).write(tmp_path / "out").scene)


def test_jpeg_is_smaller_nearly_equal_and_another_run(rich: InMemory, tmp_path: Path) -> None:
    loaded = rich.write(tmp_path / "out", PackOptions(jpeg=95))
    assert_same(rich.scene, dataclasses.replace(loaded.scene, image=rich.scene.image))
    difference = loaded.scene.image.astype(int) - rich.scene.image
    assert 0 < np.abs(difference).mean() < 12
    assert (loaded.scene.image[~loaded.scene.valid] == FILL_RGB).all()
    assert set(loaded.hashes) == {"town/scene:image", "town/scene:packed"}


def test_reducing_takes_the_mean_of_what_has_data(rich: InMemory) -> None:
    gsd_m = rich.scene.gsd_m
    half = reduce_scene(rich.scene, 2 * gsd_m)
    assert half.gsd_m == pytest.approx(2 * gsd_m)
    assert half.labels.shape == (256, 320)
    blocks = rich.scene.image.reshape(256, 2, 320, 2, 3).mean(axis=(1, 3))
    whole = half.valid
    np.testing.assert_allclose(half.image[whole], blocks[whole], atol=0.51)
    assert (half.image[~whole] == FILL_RGB).all()
    np.testing.assert_array_equal(half.labels, rich.scene.labels[1::2, 1::2])
    np.testing.assert_array_equal(half.known, rich.scene.known[1::2, 1::2])
    assert rich.scene.roof_parts is not None
    np.testing.assert_array_equal(half.roof_parts, rich.scene.roof_parts[1::2, 1::2])
    assert half.heights_m is rich.scene.heights_m
    assert reduce_scene(rich.scene, 0.9 * gsd_m) is rich.scene


def test_fill_does_not_bleed_into_a_reduced_image(scene: LabelledScene) -> None:
    valid = scene.valid.copy()
    valid[:101] = False
    image = np.full_like(scene.image, 20)
    image[~valid] = (255, 255, 255)
    reduced = reduce_scene(dataclasses.replace(scene, image=image, valid=valid), 0.77)
    assert reduced.gsd_m == pytest.approx(0.77, rel=3e-3)
    assert (reduced.image[reduced.valid] == 20).all()
    assert (reduced.image[~reduced.valid] == FILL_RGB).all()


def test_a_reduced_pool_is_another_run(dataset_folder: Path, tmp_path: Path) -> None:
    pack([dataset_folder], None, tmp_path / "pool", PackOptions(gsd_m=0.5))
    (loaded,) = open_dataset(tmp_path / "pool" / "town", None)
    (source,) = open_dataset(dataset_folder, None)
    assert loaded.scene.gsd_m == pytest.approx(0.5, rel=1e-3)
    assert loaded.hashes.keys() - source.hashes.keys() == {"town/scene:packed"}
    # The split by place goes by the image: it is the source's.
    assert loaded.hashes["town/scene:image"] == source.hashes["town/scene:image"]


def test_a_damaged_or_missing_file_is_named(dataset_folder: Path, tmp_path: Path) -> None:
    pack([dataset_folder], None, tmp_path / "pool")
    folder = tmp_path / "pool" / "town"
    path = folder / "scene" / "0_0.labels.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + bytes(20))
    with pytest.raises(SceneError, match=r"0_0\.labels\.png with another sha256"):
        list(open_dataset(folder, None))
    path.unlink()
    with pytest.raises(SceneError, match=r"cannot read .*0_0\.labels\.png"):
        list(open_dataset(folder, None))
    index = folder / "index.json"
    index.write_text(index.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(LabelError, match="version"):
        open_dataset(folder, None)


def test_an_index_cannot_lead_out_of_its_folder(dataset_folder: Path, tmp_path: Path) -> None:
    pack([dataset_folder], None, tmp_path / "pool")
    index = tmp_path / "pool" / "town" / "index.json"
    for name in ("town/..", "town/../../x", "/etc/passwd", "town/"):
        changed = index.read_text().replace('"name": "town/scene"', f'"name": "{name}"')
        assert name in changed
        (tmp_path / "index.json").write_text(changed)
        with pytest.raises(LabelError, match="name"):
            packed.load_index(tmp_path)


def test_an_interrupted_packing_leaves_nothing(
    dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "pool"
    pack([dataset_folder], None, out)
    before = (out / "town" / "index.json").read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "_encode", interrupt)
    for target, overwrite in ((tmp_path / "other", False), (out, True)):
        with pytest.raises(KeyboardInterrupt):
            pack([dataset_folder], None, target, overwrite=overwrite)
    assert {path.name for path in tmp_path.iterdir()} == {"town", "pool"}
    assert (out / "town" / "index.json").read_bytes() == before


def test_what_exists_is_replaced_only_if_asked_and_only_a_pool(
    dataset_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pool"
    pack([dataset_folder], None, out)
    with pytest.raises(OutputExistsError):
        pack([dataset_folder], None, out)
    pack([dataset_folder], None, out, PackOptions(jpeg=50), overwrite=True)
    assert (out / "town" / "scene" / "0_0.image.jpg").is_file()
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="other things than packed datasets"):
        pack([dataset_folder], None, home, overwrite=True)
    assert (home / "thesis.txt").is_file()
    with pytest.raises(UsageError, match="two datasets of the name town"):
        pack([dataset_folder, out / "town"], None, tmp_path / "twice")
    for options in ({"gsd_m": -1.0}, {"jpeg": 0}):
        with pytest.raises(UsageError):
            PackOptions(**options)


def test_files_elsewhere_need_a_root(
    dataset_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    card = dataset_folder / "dataset.toml"
    card.write_text(card.read_text().replace("redistribute = true", "redistribute = false"))
    (dataset_folder / "README.md").write_text("drawn by the tests")
    root = tmp_path / "data"
    root.mkdir()
    for name in ("scene.tif", "buildings.gpkg"):
        (dataset_folder / name).rename(root / name)
    with pytest.raises(MissingInputError, match="no data root"):
        pack([dataset_folder], None, tmp_path / "pool")
    pack([dataset_folder], root, tmp_path / "pool")
    assert "town may not be passed on" in caplog.text
    # What the data are travels with them.
    for name in ("dataset.toml", "README.md"):
        copied = tmp_path / "pool" / "town" / name
        assert copied.read_bytes() == (dataset_folder / name).read_bytes()


def test_the_command_packs_and_says_what(
    dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["pack", str(dataset_folder), "-o", str(tmp_path / "pool")]
    assert run([*args, "--gsd", "0.5"]) == 0
    assert "1 scenes of 1 datasets, 0.1 MP" in capsys.readouterr().out
    assert run(args) == 2
    assert "exists already" in capsys.readouterr().err
    assert run([*args, "--overwrite", "--progress", "json"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert '"event": "result"' in last
    assert '"pixels": 327680' in last
    assert run(["pack", str(tmp_path / "none"), "-o", str(tmp_path / "p2")]) == 3
    assert run([*args[:-1], str(tmp_path / "no" / "pool")]) == 5


BARE = """
import sys
BLOCKED = {"rasterio", "pyogrio", "pyproj", "shapely", "fiona", "geopandas", "osgeo"}


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is not on this machine")


sys.meta_path.insert(0, Refuse())
from pathlib import Path

from buildext.learn.training.run import train
from buildext.progress import SilentProgress

recipe, out = map(Path, sys.argv[1:])
train(recipe, out, resume=False, progress=SilentProgress())
print(sorted(BLOCKED & set(sys.modules)))
"""


def test_a_run_from_a_pool_needs_no_geodata_library_and_is_the_same_run(
    recipe_file: Path, dataset_folder: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    from buildext.learn.training.run import train
    from buildext.progress import SilentProgress

    pack([dataset_folder], None, tmp_path / "pool")
    there = tmp_path / "there"
    there.mkdir()
    shutil.move(tmp_path / "pool" / "town", there / "town")
    shutil.copy(recipe_file, there / recipe_file.name)
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(there / recipe_file.name), str(there / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    train(recipe_file, tmp_path / "run", resume=False, progress=SilentProgress())
    (here,), (away,) = (
        sorted(folder.rglob("checkpoint*.safetensors"))
        for folder in (tmp_path / "run", there / "run")
    )
    expected, got = load_file(here), load_file(away)
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)
