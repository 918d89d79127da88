"""Disks that are full or read-only. Permission bits do not hold root, so real mounts are used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import real
from tests.cli.conftest import Call

Mount = Callable[[str], Path]


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs Linux and root")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def mount(out: Path) -> Iterator[Mount]:
    """Turn the output folder into a small disk with some mount options."""
    with ExitStack() as stack:
        yield lambda options: stack.enter_context(mounted(out, options))


def test_read_only_folder(call: Call, mount: Mount, small_scene: Path) -> None:
    folder = mount("size=1m,ro")
    outcome = call("extract", small_scene, "-o", folder / "a.gpkg")
    assert outcome.code == 5
    (line,) = outcome.error_lines()
    assert "cannot be written to" in line
    assert "Read-only" in line
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".fgb", ".geojson"])
def test_full_disk(call: Call, mount: Mount, suffix: str) -> None:
    folder = mount("size=100k")
    # Leave room for 8 kB: a start for each format, and less than a hundred buildings need.
    (folder / "ballast").write_bytes(bytes(92 * 1024))
    outcome = call("extract", real.SCENE, "-o", folder / f"a{suffix}")
    assert outcome.code == 5, outcome.stderr
    (line,) = outcome.error_lines()
    assert "disk filled up" in line
    assert "Traceback" not in outcome.stderr
    assert [path.name for path in folder.iterdir()] == ["ballast"]


def test_disk_full_with_the_probability_raster(call: Call, mount: Mount, tmp_path: Path) -> None:
    folder = mount("size=128k")
    before = folder / "p.tif"
    before.write_bytes(b"old")
    outcome = call(
        "extract", real.SCENE, "-o", tmp_path / "a.gpkg", "--probability", before, "--overwrite"
    )
    assert outcome.code == 5, outcome.stderr
    assert "disk filled up" in outcome.stderr
    assert [path.name for path in folder.iterdir()] == ["p.tif"]
    assert before.read_bytes() == b"old"
    # One run, all outputs or none: the layer's disk had room, and still it is not there.
    assert not (tmp_path / "a.gpkg").exists()
