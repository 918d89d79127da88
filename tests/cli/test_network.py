"""No network: not at import, not in a thread, not from a process that a library starts.

An audit hook, which child interpreters inherit, records and refuses every look-up and connection
and records every process that is started. That it sees what it should is shown on OpenVINO itself,
which reports its import to a server unless it is told not to.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from tests import real
from tests.cli.process import environment, finish, python, start

HOOK = """
import os, sys
_log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_NETWORK = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr",
            "socket.connect", "socket.sendto", "socket.sendmsg")
_PROCESS = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.system",
            "os.spawn")
def _watch(event, args):
    if event in _NETWORK or event in _PROCESS:
        os.write(_log, (event + " " + repr(args)[:300] + "\\n").encode())
        if event in _NETWORK:
            raise OSError("the network is closed")
sys.addaudithook(_watch)
"""


class Watch:
    """An environment in which each attempt is written down."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "attempts.txt"
        (folder / "sitecustomize.py").write_text(HOOK.format(log=str(self._log)))
        (folder / "home").mkdir()
        plain = environment()
        # A fresh home: no consent or refusal that a library may have stored in the real one.
        self.env = environment(
            PYTHONPATH=f"{folder}:{plain['PYTHONPATH']}", HOME=str(folder / "home")
        )
        for name in ("CI", "TF_BUILD", "JENKINS_URL"):
            self.env.pop(name, None)

    def attempts(self) -> list[str]:
        """What was tried."""
        return self._log.read_text().splitlines()


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    folder = tmp_path / "hook"
    folder.mkdir()
    return Watch(folder)


def test_the_watch_sees_lookups_processes_and_children(watch: Watch) -> None:
    python(
        "import socket, subprocess, sys\n"
        "code = 'import socket; socket.socket().connect((\"192.0.2.1\", 80))'\n"
        "subprocess.run([sys.executable, '-c', code], stderr=subprocess.DEVNULL)\n"
        "try:\n    socket.gethostbyname('example.org')\n"
        "except OSError:\n    pass\n",
        watch.env,
    )
    seen = [line.split()[0] for line in watch.attempts()]
    assert {"subprocess.Popen", "socket.connect", "socket.gethostbyname"} <= set(seen)


def test_the_watch_sees_openvino_reporting_its_import(watch: Watch) -> None:
    # Asked by metadata: the package itself may be barred from this process, by us.
    try:
        importlib.metadata.version("openvino-telemetry")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("OpenVINO's telemetry is not installed")
    python("import openvino, time; time.sleep(2)", watch.env)
    assert any("google-analytics" in line or "os.fork" in line for line in watch.attempts())


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_extract_tries_nothing(watch: Watch, out: Path, engine: str) -> None:
    options = ["--engine", engine, "--tile", "256", "--overlap", "32", "--progress", "none"]
    process = start(
        "extract", real.SCENE, "-o", out / "a.pmtiles", "--probability", out / "p.tif",
        "--review", out / "r.gpkg", *options, env=watch.env,
    )  # fmt: skip
    code, _, stderr = finish(process)
    assert code == 0, stderr
    assert watch.attempts() == []


@pytest.mark.parametrize("command", [["doctor"], ["models", "verify"], ["--help"]])
def test_other_commands_try_nothing(watch: Watch, command: list[str]) -> None:
    code, _, stderr = finish(start(*command, env=watch.env))
    assert code == 0, stderr
    # Python's own `platform` asks `uname` for the processor.
    assert [line for line in watch.attempts() if "['uname', '-p']" not in line] == []
