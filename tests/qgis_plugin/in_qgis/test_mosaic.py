"""A mosaic inside QGIS: layers and a folder in, one layer out; continued, cancelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.qgis_plugin.in_qgis import support
from tests.qgis_plugin.in_qgis.support import Feedback, crop, run

# isort: split
from qgis.core import QgsRasterLayer, QgsVectorLayer

pytestmark = pytest.mark.usefixtures("environment", "clean_project")


def test_overlapping_images_become_one_layer_and_a_second_run_has_nothing_to_do(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "Blätter"
    folder.mkdir()
    crop(folder / "a.tif", 320, (200, 200))
    layers = [QgsRasterLayer(str(crop(tmp_path / "b.tif", 320, (440, 200))), "b")]
    parameters = {
        "INPUTS": layers,
        "FOLDER": str(folder),
        "OUTPUT": str(tmp_path / "Stadt"),
        "PARQUET": True,
    }
    first = run("mosaic", parameters)
    assert first.ok, first.log
    assert first.bar == sorted(first.bar)
    found = QgsVectorLayer(first.results["FOOTPRINTS"], "found", "ogr")
    assert found.isValid()
    assert found.featureCount() == first.results["COUNT"] > 10
    assert Path(first.results["SUMMARY"]).is_file()
    loaded = first.context.layersToLoadOnCompletion()
    assert [details.name for details in loaded.values()] == ["Footprints"]
    second = run("mosaic", parameters)
    assert second.ok, second.log


def test_a_damaged_image_is_named_and_left_out(tmp_path: Path) -> None:
    whole = crop(tmp_path / "a.tif")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.tif").write_bytes(whole.read_bytes())
    (folder / "broken.tif").write_bytes(whole.read_bytes()[:3000])
    ran = run("mosaic", {"FOLDER": str(folder), "OUTPUT": str(tmp_path / "out")})
    assert ran.ok, ran.log
    assert ran.results["DAMAGED"] == 1
    assert "broken.tif" in ran.log


def test_nothing_to_do_is_refused(tmp_path: Path) -> None:
    refused = run("mosaic", {"OUTPUT": str(tmp_path / "out")})
    assert not refused.ok
    assert "folder of images" in refused.log


def test_a_cancel_ends_all_workers(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    support.large_scene(folder / "large.vrt")
    feedback = Feedback()
    seen: list[int] = []

    def cancel(value: float) -> None:
        if value > 5 and not seen:  # the survey is over, the workers are at their blocks
            (leader,) = support.processes_with(str(tmp_path / "out"))
            seen.extend([leader, len(support.group_of(leader))])
            feedback.cancel()

    feedback.progressChanged.connect(cancel)
    parameters = {
        "FOLDER": str(folder), "OUTPUT": str(tmp_path / "out"), "WORKERS": 2, "BLOCK": 512,
    }  # fmt: skip
    ran = run("mosaic", parameters, feedback)
    assert not ran.ok
    assert "Cancelled" in ran.log
    leader, processes = seen
    assert processes >= 3, "the command and its two workers"
    support.wait_until(lambda: not support.group_of(leader), "all of them end")
