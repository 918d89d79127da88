"""A study is done, killed, gone on with and shown, with real trainings of a tiny network."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import buildext
from buildext.cli.study import study
from buildext.errors import MissingInputError, ModelError, UsageError
from buildext.learn.study.run import Study
from buildext.page.document import document
from buildext.progress import SilentProgress
from tests.learn.study.conftest import STUDY, write_study

# What a run took is not what came out of it.
TIMES = ("seconds", "tiles_s")


def do(path: Path, folder: Path, **options: bool) -> Study:
    whole = Study(path, folder, SilentProgress())
    whole.run(**options)
    return whole


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The study's file and the folder in which it was done without interruption."""
    path = write_study(tmp_path_factory.mktemp("finished") / "study")
    folder = path.parent / "out"
    do(path, folder)
    return path, folder


def test_arms_are_ranked_and_the_best_goes_on(finished: tuple[Path, Path]) -> None:
    _, folder = finished
    rows = rows_of(folder)
    assert [(row["stage"], row["arm"], row["seed"]) for row in rows[:4]] == [
        ("rates", "high", "0"),
        ("rates", "high", "1"),
        ("rates", "none", "0"),
        ("rates", "none", "1"),
    ]
    assert {row["status"] for row in rows} == {"done"}
    assert [row["trained"] for row in rows[:4]] == ["yes", "yes", "no", "no"]
    assert [row["rank"] for row in rows[:4]] == ["1", "1", "", ""]
    # The second stage stands on the first one's best arm, and shares that arm's runs.
    widths = {(row["arm"], row["seed"]): row["run"] for row in rows[4:]}
    assert [widths["wide", seed] for seed in "01"] == [row["run"] for row in rows[:2]]
    assert len(list((folder / "records").iterdir())) == 6
    best = json.loads((folder / "records" / f"{rows[0]['run']}.json").read_text())
    assert best["config"]["schedule"]["learning_rate"] == 0.01
    assert best["parameters"] > 0 and best["macs_256"] > 0 and best["seconds"] > 0
    assert best["scores"]["mean/building"] > best["baseline"]
    assert not list(folder.rglob("*.safetensors")), "checkpoints are gone, their records stay"


def test_killed_and_resumed_it_is_the_same_study(finished: tuple[Path, Path]) -> None:
    path, straight = finished
    broken = path.parent / "broken"
    command = [sys.executable, "-m", "buildext", "study", str(path), "-o", str(broken)]
    # One folder up from the package, so that it is found wherever the tests are started.
    environment = {**os.environ, "PYTHONPATH": str(Path(buildext.__file__).parents[1])}
    process = subprocess.Popen([*command, "--progress", "none"], env=environment)
    try:
        # In the middle of the second run: it has a checkpoint, but no record.
        wait_for(lambda: len(list(broken.glob("records/*.json"))) == 1, process)
        wait_for(lambda: bool(list(broken.glob("runs/*/phases/*/*.safetensors"))), process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in broken.glob("records/*.json")}
    assert 1 <= len(done) < 6
    do(path, broken)
    assert rows_of(broken) == rows_of(straight)
    after = {path.name: path.stat().st_mtime_ns for path in broken.glob("records/*.json")}
    assert {name: after[name] for name in done} == done, "what was done is not done again"


def wait_for(condition: object, process: subprocess.Popen[bytes]) -> None:
    assert callable(condition)
    for _ in range(20_000):
        if condition():
            return
        assert process.poll() is None, "the study ended before it could be killed"
        time.sleep(0.01)
    raise AssertionError("waited for more than three minutes")


def test_a_failed_run_is_a_result(study_file: Path, tmp_path: Path) -> None:
    encoders = '["tu-test_efficientnet", "tu-no_such_encoder"]'
    study_file.write_text(
        '[study]\nname = "tiny"\nseeds = [0]\nbase = "tiny.toml"\n[[stages]]\nname = "one"\n'
        f"set = {{schedule.steps = 2}}\n[stages.factors]\nnetwork.encoder = {encoders}\n"
    )
    folder = tmp_path / "out"
    whole = do(study_file, folder)
    (failed,) = (row for row in rows_of(folder) if row["status"] == "failed")
    assert failed["reason"].startswith("ModelError: ")
    assert "no_such_encoder" in failed["reason"]
    assert failed["rank"] == ""
    assert "no_such_encoder" in whole.page.read_text(encoding="utf-8")

    # It stays as it is, until it is asked for again.
    path = folder / "records" / f"{failed['run']}.json"
    before = path.stat().st_mtime_ns
    do(study_file, folder)
    assert path.stat().st_mtime_ns == before
    do(study_file, folder, retry_failed=True)
    assert path.stat().st_mtime_ns > before


def test_what_would_fail_every_run_stops_the_study(study_file: Path, tmp_path: Path) -> None:
    (study_file.parent / "town" / "scene.tif").unlink()
    with pytest.raises(MissingInputError):
        do(study_file, tmp_path / "out")
    assert not list((tmp_path / "out").glob("records/*"))


def test_a_stage_without_a_trained_arm_hands_nothing_on(study_file: Path, tmp_path: Path) -> None:
    high = '    { label = "high", "schedule.learning_rate" = 0.01 },\n'
    assert high in STUDY
    study_file.write_text(STUDY.replace("[0, 1]", "[0]").replace(high, ""))
    with pytest.raises(ModelError, match="no arm of the stage 'rates'"):
        do(study_file, tmp_path / "out")
    page = (tmp_path / "out" / "study.html").read_text(encoding="utf-8")
    assert "not trained: no better than a colour threshold" in page
    assert "Not begun: widths" in page


def test_the_command_shows_plan_latency_and_page(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    study_file, done = finished
    out = tmp_path / "out"

    def call(*options: str) -> list[dict[str, object]]:
        result = CliRunner().invoke(
            study,
            [str(study_file), "--out", str(out), "--progress", "json", *options],
            catch_exceptions=False,
        )
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    told = [event["message"] for event in call("--plan")]
    assert told == ["rates: 4 runs, 4 left", "widths: at most 4 runs, not begun"]
    assert not out.exists()
    shutil.copytree(done, out)
    assert call()[-1] == {
        "event": "result",
        "page": str(out / "study.html"),
        "table": str(out / "table.csv"),
    }
    assert "CPU, ms" not in (out / "study.html").read_text(encoding="utf-8")
    call("--latency")
    # Two arms of the rates share a network with `wide`; `narrow` is another.
    latencies = [json.loads(path.read_text()) for path in (out / "latency").iterdir()]
    assert len(latencies) == 2
    for latency in latencies:
        assert latency["cpu_ms"] > 0
        assert latency["engine"].startswith("openvino ")
        assert latency["threads"] >= 1
    page = (out / "study.html").read_text(encoding="utf-8")
    assert "CPU, ms" in page
    check_page(page, out)
    assert [e["message"] for e in call("--plan")] == [
        "rates: 4 runs, 0 left",
        "widths: 4 runs, 0 left",
    ]
    with pytest.raises(UsageError, match="exclude each other"):
        call("--plan", "--report")


def check_page(page: str, folder: Path) -> None:
    """Nothing is loaded from elsewhere, ids are unique, and every link leads somewhere."""
    assert page.startswith(document("Study: tiny", "")[:40])
    assert not re.search(r'(src|href)="(https?:)?//', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for target in re.findall(r'href="#([^"]+)"', page):
        assert target in ids, target
    for target in re.findall(r"url\(#([^)]+)\)", page):
        assert target in ids, target
    records = re.findall(r'href="(records/[^"]+)"', page)
    assert records
    assert all((folder / record).is_file() for record in records)
