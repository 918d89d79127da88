"""A program beside this one: what it says arrives, and it ends whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from qgis_plugin.buildext_qgis.runner import (
    CancelledError,
    ToolError,
    clean_environment,
    run,
    tool_command,
)
from tests.cli.process import PATIENCE_S
from tests.real import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")


def program(code: str) -> list[str]:
    return [sys.executable, "-I", "-u", "-X", "utf8", "-c", textwrap.dedent(code)]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(*pids: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while any(map(is_alive, pids)):
        assert time.monotonic() < end, "still running"
        time.sleep(0.02)


def test_events_and_text_arrive_and_the_result_comes_back() -> None:
    heard: list[dict[str, Any]] = []
    result = run(
        program("""
            import sys
            print('{"event": "progress", "done": 1, "total": 2, "stage": "a"}')
            print("größe ✓")
            print("{not json}")
            sys.stderr.write("on stderr")
            sys.stderr.flush()
            print('{"event": "result", "features": 7}')
        """),
        heard.append,
    )
    assert result == {"event": "result", "features": 7}
    texts = {event["message"] for event in heard if event["event"] == "text"}
    assert texts == {"größe ✓", "{not json}", "on stderr"}
    assert {"event": "progress", "done": 1, "total": 2, "stage": "a"} in heard


def test_more_text_than_a_pipe_holds_blocks_nobody() -> None:
    heard: list[dict[str, Any]] = []
    run(
        program("""
            import sys
            for n in range(20000):
                print("x" * 50)
                sys.stderr.write("y" * 50 + "\\n")
        """),
        heard.append,
    )
    assert len(heard) == 40000


def test_an_error_event_comes_with_its_hint() -> None:
    code = """
        print('{"event": "error", "code": 3, "message": "no CRS", "hint": "give it one"}')
        raise SystemExit(3)
    """
    with pytest.raises(ToolError, match="no CRS") as caught:
        run(program(code), lambda event: None)
    assert (caught.value.code, caught.value.hint) == (3, "give it one")


def test_a_crash_shows_its_last_words() -> None:
    with pytest.raises(ToolError, match="ZeroDivisionError"):
        run(program("1 / 0"), lambda event: None)
    with pytest.raises(ToolError, match="exit code -9"):
        run(program("import os; os.kill(os.getpid(), 9)"), lambda event: None)


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ToolError, match="could not be started"):
        run(["/no/such/program"], lambda event: None)


@pytest.mark.parametrize("deaf", [False, True])
def test_a_cancel_ends_the_program_and_its_children(
    deaf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qgis_plugin.buildext_qgis.runner.GRACE_S", 0.5)
    pids: list[int] = []
    code = f"""
        import os, signal, subprocess, sys, time
        if {deaf}:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print('{{"event": "pids", "pids": [%d, %d]}}' % (os.getpid(), child.pid))
        time.sleep(600)
    """
    with pytest.raises(CancelledError):
        run(program(code), lambda event: pids.extend(event["pids"]), lambda: bool(pids))
    assert len(pids) == 2
    wait_for_end(*pids)


def test_when_the_caller_is_killed_the_program_ends() -> None:
    # `buildext` itself, which has nothing to do but wait for its work's end.
    caller = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from qgis_plugin.buildext_qgis.runner import run
        child = '''
        import os, sys, time
        sys.path.insert(0, {str(ROOT)!r})
        from buildext.cli.options import watch_parent
        watch_parent()
        print('{{"event": "pid", "pid": %d}}' % os.getpid())
        time.sleep(600)
        '''
        import textwrap
        line = [sys.executable, "-u", "-c", textwrap.dedent(child)]
        run(line, lambda event: print(event.get("pid", event), flush=True))
    """)
    process = subprocess.Popen([sys.executable, "-c", caller], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        pid = int(process.stdout.readline())
        assert is_alive(pid)
        process.send_signal(signal.SIGKILL)
    wait_for_end(pid)


def test_the_environment_is_clean() -> None:
    base = {
        "HOME": "/home/me",
        "PATH": "/usr/bin",
        "PYTHONHOME": "/qgis",
        "PYTHONPATH": "/qgis/python",
        "PYTHONSTARTUP": "x.py",
        "GDAL_DATA": "/qgis/gdal",
        "PROJ_LIB": "/qgis/proj",
        "LD_LIBRARY_PATH": "/qgis/lib",
        "QT_PLUGIN_PATH": "/qgis/qt",
    }
    assert clean_environment(base, {"https_proxy": "http://p:1"}) == {
        "HOME": "/home/me",
        "PATH": "/usr/bin",
        "https_proxy": "http://p:1",
    }


def test_a_foreign_environment_does_not_reach_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    heard: list[dict[str, Any]] = []
    run(program("import sys; print(sys.flags.isolated, sys.flags.utf8_mode)"), heard.append)
    assert [event["message"] for event in heard] == ["1 1"]
    assert "PYTHONHOME" not in clean_environment(os.environ)


def test_the_line_that_runs_buildext() -> None:
    line = tool_command(Path("/a b/bin/python"), ["extract", "x.tif"])
    assert line[0] == "/a b/bin/python"
    assert line[-4:] == ["-m", "buildext", "extract", "x.tif"]
    assert {"-I", "-u"} <= set(line)
