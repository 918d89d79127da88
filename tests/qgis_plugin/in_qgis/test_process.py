"""`qgis_process` runs every algorithm; killed, it leaves no child behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.qgis_plugin.in_qgis import support
from tests.qgis_plugin.in_qgis.support import PATIENCE_S, crop, start_qgis_process


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean profile in which the plugin is switched on."""
    folder = tmp_path_factory.mktemp("profile")
    process = start_qgis_process(folder, "plugins", "enable", "buildext_qgis")
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    return folder


def run(profile: Path, name: str, *arguments: str) -> str:
    process = start_qgis_process(profile, "run", f"buildext:{name}", "--", *arguments)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "ResourceWarning" not in said
    return said


def test_every_algorithm_on_a_real_scene(profile: Path, environment: Path, tmp_path: Path) -> None:
    folder = f"ENVIRONMENT={environment}"
    scene = crop(tmp_path / "scene.tif")
    found = tmp_path / "found.gpkg"
    run(profile, "extract", folder, f"INPUT={scene}", f"OUTPUT={found}")
    assert found.exists()
    page = tmp_path / "page.html"
    reference = f"REFERENCE={support.BUILDINGS}"
    run(profile, "evaluate", folder, f"PREDICTION={found}", reference, f"REPORT={page}")
    assert page.exists()
    aligned = tmp_path / "aligned.gpkg"
    labels = f"LABELS={support.BUILDINGS}"
    run(profile, "align", folder, f"INPUT={scene}", labels, f"OUTPUT={aligned}")
    assert aligned.exists()
    city = tmp_path / "city"
    run(profile, "mosaic", folder, f"INPUTS={scene}", f"OUTPUT={city}")
    assert (city / "buildings.gpkg").exists()
    assert "All is well." in run(profile, "check", folder)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_killing_qgis_in_mid_run_leaves_nothing(
    profile: Path, environment: Path, tmp_path: Path, how: signal.Signals
) -> None:
    large = support.large_scene(tmp_path / "large.vrt")
    out = tmp_path / "out"
    out.mkdir()
    process = start_qgis_process(
        profile, "run", "buildext:extract", "--", f"ENVIRONMENT={environment}", f"INPUT={large}",
        "TILE=256", f"OUTPUT={out / 'o.gpkg'}",
    )  # fmt: skip

    def children() -> list[int]:
        return [pid for pid in support.processes_with(str(out)) if pid != process.pid]

    try:
        support.wait_until(lambda: children() and any(out.iterdir()), "the run has begun")
        (child,) = children()
        os.kill(process.pid, how)
        process.wait(PATIENCE_S)
        support.wait_until(lambda: child not in children(), "the child ends")
    finally:
        process.kill()
        process.communicate()
    assert list(out.iterdir()) == []


def test_killing_qgis_ends_the_workers_of_a_mosaic(
    profile: Path, environment: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    support.large_scene(folder / "large.vrt")
    process = start_qgis_process(
        profile, "run", "buildext:mosaic", "--", f"ENVIRONMENT={environment}", f"FOLDER={folder}",
        "WORKERS=2", "BLOCK=512", f"OUTPUT={out}",
    )  # fmt: skip

    def command() -> list[int]:
        return [pid for pid in support.processes_with(str(out)) if pid != process.pid]

    try:
        support.wait_until(lambda: command(), "the run has begun")
        (leader,) = command()
        support.wait_until(lambda: len(support.group_of(leader)) >= 3, "the workers are there")
        process.kill()
        process.wait(PATIENCE_S)
        support.wait_until(lambda: not support.group_of(leader), "all of them end")
    finally:
        process.kill()
        process.communicate()
