"""Whatever ends a run before its time: the right exit code, and nothing half-written."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests import real
from tests.cli.process import PATIENCE_S, finish, start, wait_until_in_mid_run

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")


@pytest.fixture(scope="module")
def large_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that takes far longer than an interruption, 46 megapixels on the model grid."""
    return real.repeat(tmp_path_factory.mktemp("large") / "large.vrt", 9)


def run_to_mid(scene: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """A run that writes all three outputs, begun and in its middle."""
    outputs = ["-o", out / "a.gpkg", "--probability", out / "p.tif", "--review", out / "r.gpkg"]
    process = start(
        "extract", scene, *outputs, "--tile", "256", "--overlap", "32", "--progress", "json",
        *options,
    )  # fmt: skip
    wait_until_in_mid_run(process)
    return process


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_in_mid_run_leaves_nothing(
    large_scene: Path, out: Path, number: int, code: int, word: str
) -> None:
    process = run_to_mid(large_scene, out)
    assert list(out.iterdir()), "nothing was being written: the test would prove nothing"
    process.send_signal(number)
    ended, stdout, stderr = finish(process)
    assert ended == code, stderr
    assert word in stdout
    assert "Traceback" not in stderr
    assert list(out.iterdir()) == []


def test_an_interrupted_overwrite_leaves_the_old_output(large_scene: Path, out: Path) -> None:
    old = {name: f"old {name}".encode() for name in ("a.gpkg", "p.tif", "r.gpkg")}
    for name, content in old.items():
        (out / name).write_bytes(content)
    process = run_to_mid(large_scene, out, "--overwrite")
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    assert {path.name: path.read_bytes() for path in out.iterdir()} == old


def test_it_ends_with_its_parent(large_scene: Path, out: Path) -> None:
    process = run_to_mid(large_scene, out, "--exit-with-parent")
    assert process.poll() is None
    # `finish` closes standard input, as the death of a parent does.
    assert finish(process)[0] == 143
    assert list(out.iterdir()) == []


def test_it_comes_to_its_own_end_while_its_parent_lives(out: Path) -> None:
    process = start("extract", "no.tif", "-o", out / "a.gpkg", "--exit-with-parent")
    try:
        # Standard input stays open: a thread is waiting on it when the interpreter shuts down.
        assert process.wait(PATIENCE_S) == 3
    finally:
        finish(process)


def test_killed_it_leaves_no_more_than_temporaries(large_scene: Path, out: Path) -> None:
    process = run_to_mid(large_scene, out)
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    names = [path.name for path in out.iterdir()]
    assert names
    assert all(name.startswith(".") for name in names)
