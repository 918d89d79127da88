"""`buildext benchmark` from end to end, and how it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from buildext.benchmark import speed
from buildext.benchmark.arms import Arm
from buildext.benchmark.scenes import LabelledScene
from buildext.benchmark.speed import time_in_turns
from buildext.cli.main import run
from buildext.progress import SilentProgress


def test_a_model_is_scored_and_timed(
    corner: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "comparison"
    line = ["benchmark", "default", "--scene", str(corner), "--labels", str(labels)]
    line += ["--engine", "openvino", "--tiles", "1", "--rounds", "2", "-o", str(out)]
    assert run([*line, "--progress", "json"]) == 0
    events = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert {event.get("stage") for event in events} >= {"scoring", "timing"}
    result = events[-1]["benchmark"]
    assert result == json.loads((out / "benchmark.json").read_text("utf-8"))
    rows = list(csv.DictReader((out / "benchmark.csv").read_text("utf-8").splitlines()))
    assert [row["arithmetic"] for row in rows if row["engine"] == "openvino"]
    for row in result["rows"]:
        assert 0.75 < row["pixel_f1"] <= 1
        assert row["object_f1"] > 0.5
        assert len(row["rounds_mp_s"]) == 2
        assert min(row["rounds_mp_s"]) > 0
        assert row["slowest_mp_s"] <= row["mp_s"] <= row["fastest_mp_s"]
    assert any(row["best_by_pixels"] for row in result["rows"])
    assert (out / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "benchmark.html").read_text("utf-8")
    assert run(line) == 2
    assert "is not empty" in capsys.readouterr().err


def test_arms_take_turns(corner: Path, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = speed._Ready.time

    def recorded(ready: speed._Ready) -> float:
        asked.append(id(ready))
        assert len(ready.images) == 2
        return plain(ready)

    monkeypatch.setattr(speed._Ready, "time", recorded)
    arms = [Arm(name, "default", "openvino", "f32", False) for name in "ab"]
    scenes = [LabelledScene("corner", corner, labels, True)] * 2
    speeds = time_in_turns(arms, scenes, tiles=2, rounds=1, progress=SilentProgress())
    first, second = asked[:2]
    assert first != second
    # Once to warm up, then the round that counts.
    assert asked == [first, second] * 2
    assert [len(one.rounds_mp_s) for one in speeds] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere"], 4, "got the model 'nowhere'"),
        (["default", "default"], 2, "got a model twice"),
        (["default", "--scene", "LABELS"], 2, "got 1 scenes and 0 labels"),
        (["default", "--scene", "gone.tif", "--labels", "LABELS"], 3, "gone.tif"),
        (["default", "--rounds", "0"], 2, "--rounds"),
        ([], 2, "MODEL"),
    ],
)
def test_what_is_refused(
    arguments: list[str],
    code: int,
    text: str,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(labels) if part == "LABELS" else part for part in arguments]
    assert run(["benchmark", *given]) == code
    assert text in capsys.readouterr().err
