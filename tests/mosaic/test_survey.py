"""The survey: what files tell, and files that are of no use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from buildext.errors import SceneError
from buildext.mosaic.inputs import Input
from buildext.mosaic.ledger import open_ledger, read_ledger
from buildext.mosaic.prepare import prepare
from buildext.mosaic.survey import group_stretch, survey
from buildext.progress import SilentProgress
from tests.mosaic.cities import OPTIONS as MOSAIC
from tests.scene.rasters import OPTIONS, noise, utm, write


def look(*paths: Path):  # type: ignore[no-untyped-def]
    return survey([Input(str(path)) for path in paths], OPTIONS, SilentProgress())


def test_files_of_no_use_are_noted(tmp_path: Path) -> None:
    good = write(tmp_path / "good.tif", noise(40, 40))
    bare = write(tmp_path / "bare.tif", noise(40, 40), crs=None)
    two = write(tmp_path / "two.tif", noise(40, 40, 2))
    text = tmp_path / "text.tif"
    text.write_text("no raster")
    empty = tmp_path / "empty.tif"
    empty.touch()
    vrt = tmp_path / "a.vrt"
    vrt.write_text("<VRTDataset><SourceFilename>gone.tif</SourceFilename></VRTDataset>")
    paths = (good, bare, two, text, empty, vrt, tmp_path / "gone.tif")
    found = look(*paths)
    assert [file.source is not None for file in found] == [True] + [False] * 6
    for file, path, reason in zip(
        found[1:],
        paths[1:],
        ["coordinate reference", "bands", "not a readable", "not a readable", "gone", "no such"],
        strict=True,
    ):
        assert path.name in file.note and reason in file.note


def test_nothing_of_use_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "bare.tif", noise(40, 40), crs=None)
    out = tmp_path / "out"
    out.mkdir()
    with open_ledger(out) as ledger, pytest.raises(SceneError, match="none of 1 files"):
        prepare(ledger, out, [str(tmp_path / "bare.tif")], MOSAIC, SilentProgress())


def test_a_file_is_known_again_by_size_and_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(40, 40))
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="40" rasterYSize="40"><SRS>EPSG:32630</SRS>'
        "<GeoTransform>0,1,0,0,0,-1</GeoTransform>"
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
            f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
            for band in (1, 2, 3)
        )
        + "</VRTDataset>"
    )
    before = [file.fingerprint for file in look(path, vrt)]
    assert [file.fingerprint for file in look(path, vrt)] == before
    write(path, noise(40, 50))
    after = [file.fingerprint for file in look(path, vrt)]
    assert before[0] != after[0] and before[1] != after[1]


def test_tags_tell_time_and_tilt(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(40, 40))
    with rasterio.open(path, "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2020:01:01 00:00:00", offNadirAngle="17.5")
        file.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2019-12-31T10:00:00Z")
    (found,) = look(path)
    assert found.given.acquired == "2019-12-31T10:00:00"
    assert found.given.off_nadir_deg == 17.5


def test_one_stretch_for_all_files_of_a_group(tmp_path: Path) -> None:
    """A dark and a bright file: the stretch spans both, and is not that of either."""
    dark = noise(300, 300, seed=1).astype(np.uint16)
    bright = dark + 1000
    files = look(
        write(tmp_path / "dark.tif", dark),
        write(tmp_path / "bright.tif", bright, utm(0.3, 5000, 5000)),
    )
    assert files[0].group == files[1].group
    sources = [file.source for file in files]
    assert all(sources)
    stretch = group_stretch([source for source in sources if source], OPTIONS)
    low, high = np.percentile(np.stack([dark, bright])[:, 0], (1, 99))
    assert stretch.low[0] == pytest.approx(low, abs=3)
    assert stretch.high[0] == pytest.approx(high, abs=3)
    given = group_stretch(
        [source for source in sources if source], replace(OPTIONS, scale=(5.0, 9.0))
    )
    assert (given.low[0], given.high[0]) == (5.0, 9.0)


def test_numbers_and_stretches_are_for_ever(tmp_path: Path) -> None:
    """Files that come later get later numbers, and do not change the stretch of those before."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    write(folder / "b.tif", noise(80, 80).astype(np.uint16) * 4)

    def plan_it():  # type: ignore[no-untyped-def]
        with open_ledger(out) as ledger:
            return prepare(ledger, out, [str(folder)], MOSAIC, SilentProgress()).plan

    first = plan_it()
    write(folder / "a.tif", noise(80, 80).astype(np.uint16) * 40, utm(0.3, -500, -500))
    second = plan_it()
    assert second.lattice == first.lattice
    assert list(second.stretches.values()) == list(first.stretches.values())
    with read_ledger(out) as ledger:
        numbers = {Path(row.name).name: row.number for row in ledger.sources()}
    assert numbers == {"b.tif": 1, "a.tif": 2}
    kept = {block: first.key(block, frozenset()) for block in first.blocks}
    assert all(second.key(block, frozenset()) == key for block, key in kept.items())
