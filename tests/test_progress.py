"""Three faces of progress, one behaviour."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from buildext.progress import JsonProgress, Progress, RichProgress, SilentProgress


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@given(st.lists(st.floats(0, 10), max_size=400), st.floats(0.1, 100))
def test_json_rises_to_the_total_in_few_lines(amounts: list[float], total: float) -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.start("extract", total)
    for amount in amounts:
        progress.advance(amount)
    progress.finish()
    events = told(stream)
    done = [event["done"] for event in events]
    assert done[0] == 0
    assert done == sorted(done)
    assert done[-1] == pytest.approx(min(sum(amounts), total))
    assert all(event["total"] == total and event["stage"] == "extract" for event in events)
    assert len(events) <= 202


def test_json_tells_each_stage_and_note() -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.start("read", 2)
    progress.advance(2)
    progress.note("a line with ü and \n in it")
    progress.start("write", 4)
    progress.advance(1)
    progress.emit("result", features=7)
    assert told(stream) == [
        {"event": "progress", "done": 0.0, "total": 2, "stage": "read"},
        {"event": "progress", "done": 2, "total": 2, "stage": "read"},
        {"event": "note", "message": "a line with ü and \n in it"},
        {"event": "progress", "done": 0.0, "total": 4, "stage": "write"},
        {"event": "progress", "done": 1.0, "total": 4, "stage": "write"},
        {"event": "result", "features": 7},
    ]
    assert stream.getvalue().isascii()


def test_a_terminal_gets_a_bar_with_an_eta() -> None:
    stream = io.StringIO()
    progress = RichProgress(Console(file=stream, force_terminal=True, width=90))
    progress.start("extract", 10)
    progress.advance(10)
    progress.note("found [7] things")
    progress.finish()
    text = stream.getvalue()
    assert "extract" in text
    assert "100 %" in text
    assert "ETA" in text
    assert "found [7] things" in text


def test_no_terminal_gets_plain_lines() -> None:
    stream = io.StringIO()
    progress = RichProgress(Console(file=stream, width=90))
    progress.start("extract", 10)
    progress.advance(3)
    progress.note("a note")
    progress.finish()
    assert "a note" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert "ETA" not in stream.getvalue()


@pytest.mark.parametrize(
    "face", [SilentProgress(), RichProgress(Console(quiet=True)), JsonProgress(io.StringIO())]
)
def test_any_order_of_calls_is_fine(face: Progress, capsys: pytest.CaptureFixture[str]) -> None:
    face.finish()
    face.advance()
    face.start("one", 3)
    face.start("two", 3)
    face.advance(99)
    face.note("a note")
    face.finish()
    face.finish()
    assert capsys.readouterr() == ("", "")
