"""A whole search: killed, gone on with, and what it leaves behind."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from buildext.engines.openvino import OpenVinoEngine
from buildext.errors import ModelError, UsageError
from buildext.learn.search.candidate import Candidate
from buildext.learn.search.config import load_search
from buildext.learn.search.run import Search
from buildext.learn.search.trainings import Job, train_alone
from buildext.learn.study.design import load_design
from buildext.learn.training.config import load_config
from buildext.models.store import load_model
from buildext.progress import SilentProgress

from .conftest import write_search

PATIENCE_S = 600
# Seconds on a machine of its own; beside other work the search may be starved.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A search that was killed in its first turn, and when its files were written."""
    folder = tmp_path_factory.mktemp("search")
    path = write_search(folder / "data")
    out = folder / "out"
    command = [sys.executable, "-m", "buildext", "search", str(path), "-o", str(out)]
    process = subprocess.Popen(
        [*command, "--progress", "none"], env=os.environ, stdout=subprocess.DEVNULL
    )
    ends = time.monotonic() + PATIENCE_S
    try:
        while not (out / "turns" / "01.json").exists():
            assert process.poll() is None and time.monotonic() < ends
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    files = [*(out / "parts").iterdir(), *(out / "turns").iterdir()]
    return folder, {str(file): file.stat().st_mtime_ns for file in files}


@pytest.fixture(scope="module")
def done(killed: tuple[Path, dict[str, int]]) -> tuple[Search, Candidate]:
    """The same search, gone on with to its end."""
    folder, _ = killed
    search = Search(folder / "data" / "search.toml", folder / "out", SilentProgress())
    return search, search.run()


def test_a_killed_search_goes_on(
    killed: tuple[Path, dict[str, int]], done: tuple[Search, Candidate]
) -> None:
    """Nothing that was finished is done again."""
    _, times = killed
    assert times == {name: Path(name).stat().st_mtime_ns for name in times}
    search, _ = done
    turns = search.records.turns()
    assert [turn.number for turn in turns] == [1, 2]
    candidates = search.records.candidates()
    assert {c.key for c in candidates if c.turn} == {key for t in turns for key in t.chosen}
    assert all(c.status == "done" for c in candidates)


def test_the_best_network_keeps_the_constraints_and_was_measured(
    done: tuple[Search, Candidate],
) -> None:
    search, best = done
    limits = search.config.constraints
    assert best.latency_ms is not None and best.latency_ms <= limits.latency_ms
    assert limits.parameters is not None and best.parameters <= limits.parameters
    assert best.final_score is not None and best.int8_share is not None and best.int8_share > 0.4
    assert best.predicted_ms != best.latency_ms


def test_the_model_is_a_model_like_any_other(done: tuple[Search, Candidate]) -> None:
    search, best = done
    model = load_model(str(search.folder / "model"))
    assert model.card.network == best.network
    assert model.card.training["search"]["latency_ms"] == best.latency_ms
    engine = OpenVinoEngine(model.weights, 64, precision="f32", threads=1, requests=1)
    found = engine.infer(np.zeros((1, 3, 64, 64), np.uint8))
    assert found.shape == (1, 1, 64, 64)
    assert np.isfinite(found).all()


def test_the_files_that_go_on_from_here_can_be_read(done: tuple[Search, Candidate]) -> None:
    search, best = done
    config = load_config(search.folder / "best.toml")
    assert config.network.spec() == best.network
    design = load_design(search.folder / "study.toml")
    arms = design.arms(design.stages[0], [])
    specs = [design.config(arm, 0).network.spec() for arm in arms]
    assert specs[0] == best.network
    assert [spec.encoder for spec in specs] == ["searched", "tu-test_efficientnet"]
    assert {design.config(arm, 1).schedule.steps for arm in arms} == {6}


def test_the_page_says_it(done: tuple[Search, Candidate]) -> None:
    search, best = done
    text = search.page.read_text("utf-8")
    for told in (best.label, "1000 ms, 0.3 M parameters", "before measuring", "first turn"):
        assert told in text
    assert text.count("<svg") == 2
    assert "http" not in text.replace("http://www.w3.org", "")


def test_the_same_command_again_does_nothing_new(done: tuple[Search, Candidate]) -> None:
    search, best = done
    files = [*search.folder.rglob("*.json"), *search.folder.rglob("log.csv")]
    times = {f: f.stat().st_mtime_ns for f in files if "model" not in f.parts}
    again = Search(search.folder.parent / "data" / "search.toml", search.folder, SilentProgress())
    assert again.run() == best
    assert times == {f: f.stat().st_mtime_ns for f in times}


def test_a_folder_belongs_to_one_search(done: tuple[Search, Candidate]) -> None:
    search, _ = done
    other = write_search(search.folder.parent / "data2", kind="random")
    with pytest.raises(UsageError, match="another config"):
        Search(other, search.folder, SilentProgress()).run()


def test_constraints_that_nothing_keeps(tmp_path: Path, done: tuple[Search, Candidate]) -> None:
    """The parts of the other search are taken over; nothing is admitted, so nothing is trained."""
    path = write_search(tmp_path / "data", kind="random", latency_ms=1e-6)
    text = path.read_text().replace('references = ["tu-test_efficientnet"]', "references = []")
    path.write_text(text)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "parts").symlink_to(done[0].folder / "parts")
    with pytest.raises(ModelError, match="none of the 0 networks"):
        Search(path, tmp_path / "out", SilentProgress()).run()


def test_a_wrong_key_is_told(tmp_path: Path) -> None:
    path = write_search(tmp_path)
    path.write_text(path.read_text().replace("references =", "refrences ="))
    with pytest.raises(UsageError, match="unknown key 'refrences'") as caught:
        load_search(path)
    assert caught.value.hint == "did you mean 'references'?"
    path.write_text(
        path.read_text().replace("refrences =", "references =").replace("turns", "turn")
    )
    with pytest.raises(UsageError, match=r"generator\.turn"):
        load_search(path)


def test_pretrained_weights_are_refused(tmp_path: Path) -> None:
    path = write_search(tmp_path)
    base = path.with_name("tiny.toml")
    base.write_text(base.read_text().replace("[network]", '[network]\nweights = "x.safetensors"'))
    with pytest.raises(UsageError, match="pretrained weights"):
        Search(path, tmp_path / "out", SilentProgress())


def test_the_recipes_are_searches() -> None:
    recipes = Path(__file__).parents[3] / "recipes"
    names = {path.stem for path in recipes.glob("search-*.toml")} - {"search-base"}
    assert names == {f"search-{ms}ms{end}" for ms in (15, 30, 60) for end in ("", "-random")}
    for name in names:
        config, training, folder = load_search(recipes / f"{name}.toml")
        assert (folder / "search-base.toml").exists()
        assert training.schedule.encoder_factor == 1.0
        control = name.endswith("-random")
        assert (config.generator.kind == "random") == control
        if control:
            other = load_search(recipes / f"{name.removesuffix('-random')}.toml")[0]
            assert config.budget == other.budget and config.constraints == other.constraints
            assert config.space == other.space and config.references == other.references


def test_a_worker_finds_the_same_score(done: tuple[Search, Candidate], tmp_path: Path) -> None:
    """What a process of the pool is handed, and what it makes of it with a cache of its own."""
    search, _ = done
    known = next(c for c in search.records.candidates() if c.origin == "generated")
    job = Job(known.key, search._trainer.config(known.network, 4), tmp_path / "run")
    handed: Job = pickle.loads(pickle.dumps(job))
    assert handed == job
    outcome = train_alone(handed, search._trainer.base)
    assert outcome.scores["mean/building"] == known.score
    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_records_are_plain(done: tuple[Search, Candidate]) -> None:
    search, best = done
    values = json.loads((search.folder / "candidates" / f"{best.key}.json").read_text())
    assert values["genome"]["stage1.kind"] in ("tap", "mask")
    assert tomllib.loads((search.folder / "best.toml").read_text())["name"] == "tiny"
