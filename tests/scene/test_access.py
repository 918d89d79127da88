"""What is refused, and in which words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from buildext.errors import MissingInputError, SceneError
from buildext.grid.window import Window
from buildext.scene import open_scene
from tests.scene.rasters import OPTIONS, noise, utm, write

VRT = (
    '<VRTDataset rasterXSize="20" rasterYSize="20"><SRS>EPSG:32630</SRS>'
    "<GeoTransform>" + ", ".join(map(str, utm(0.3).to_gdal())) + "</GeoTransform>"
    '<VRTRasterBand dataType="Byte" band="1"{attributes}>{inside}</VRTRasterBand></VRTDataset>'
)
SOURCE = "<SimpleSource><SourceFilename{attributes}>{name}</SourceFilename></SimpleSource>"


def vrt(path: Path, inside: str, attributes: str = "") -> Path:
    path.write_text(VRT.format(inside=inside, attributes=attributes))
    return path


def test_missing_inputs(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such file"):
        open_scene([tmp_path / "none.tif"], OPTIONS)
    with pytest.raises(MissingInputError, match="no raster in this folder"):
        open_scene([tmp_path], OPTIONS)
    with pytest.raises(MissingInputError, match="no scene"):
        open_scene([], OPTIONS)


def test_not_a_raster(tmp_path: Path) -> None:
    path = tmp_path / "text.tif"
    path.write_text("hello")
    with pytest.raises(SceneError, match=r"text\.tif: not a readable raster") as caught:
        open_scene([path], OPTIONS)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"")
    with pytest.raises(SceneError, match="not a readable raster"):
        open_scene([path], OPTIONS)


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("compress", ["none", "deflate", "jpeg"])
def test_truncated_files_are_found_on_opening(tmp_path: Path, keep: float, compress: str) -> None:
    path = write(tmp_path / "a.tif", noise(500, 500), compress=compress, tiled=True)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(SceneError, match=r"a\.tif.*(truncated|readable)"):
        open_scene([path], OPTIONS)


@pytest.mark.parametrize("compress", ["deflate", "jpeg"])
def test_damage_within_a_file_is_an_error_when_it_is_read(tmp_path: Path, compress: str) -> None:
    path = write(tmp_path / "a.tif", noise(1200, 1200), compress=compress, tiled=True)
    data = bytearray(path.read_bytes())
    with rasterio.open(path) as file:
        start = int(file.get_tag_item("BLOCK_OFFSET_2_3", "TIFF", bidx=1))
    data[start : start + 9_000] = bytes(9_000)
    path.write_bytes(data)
    with pytest.raises(SceneError, match=r"a\.tif: pixels cannot be read") as caught:  # noqa: SIM117
        with open_scene([path], OPTIONS) as scene:
            for row in range(0, 1200, 250):
                scene.read(Window(row, 0, 250, 1200))
    assert "again" in caught.value.hint


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((1, 20, 20), np.complex64))
    with pytest.raises(SceneError, match="complex64 pixels; expected"):
        open_scene([path], OPTIONS)


@pytest.mark.parametrize(
    "name",
    [
        "https://example.org/scene.tif",
        "/vsicurl/https://example.org/scene.tif",
        "/vsis3/bucket/scene.tif",
        "s3://bucket/scene.tif",
        "WMS:https://example.org/wms?SERVICE=WMS",
    ],
)
def test_remote_names_need_leave(name: str) -> None:
    with pytest.raises(SceneError, match="remote source") as caught:
        open_scene([name], OPTIONS)
    assert "--allow-remote" in caught.value.hint


@pytest.mark.parametrize(
    "inside",
    [
        SOURCE.format(attributes="", name="/vsicurl/https://example.org/a.tif"),
        SOURCE.format(attributes="", name="https://example.org/a.tif"),
        SOURCE.format(attributes="", name="&#47;vsicurl/http://example.org/a.tif"),
        SOURCE.format(attributes="", name="&lt;GDAL_WMS&gt;&lt;/GDAL_WMS&gt;"),
    ],
)
def test_remote_sources_in_a_vrt_need_leave(tmp_path: Path, inside: str) -> None:
    inner = vrt(tmp_path / "inner.vrt", inside)
    outer = vrt(
        tmp_path / "outer.vrt", SOURCE.format(attributes=' relativeToVRT="1"', name="inner.vrt")
    )
    for path in (inner, outer):
        with pytest.raises(SceneError, match="remote source") as caught:
            open_scene([path], OPTIONS)
        assert "--allow-remote" in caught.value.hint


def test_python_in_a_vrt_needs_leave(tmp_path: Path) -> None:
    inside = (
        "<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python"
        "</PixelFunctionLanguage><PixelFunctionCode>import os</PixelFunctionCode>"
    )
    path = vrt(tmp_path / "a.vrt", inside, ' subClass="VRTDerivedRasterBand"')
    with pytest.raises(SceneError, match="Python pixel function"):
        open_scene([path], OPTIONS)


def test_entities_cannot_hide_a_name(tmp_path: Path) -> None:
    path = vrt(tmp_path / "a.vrt", SOURCE.format(attributes="", name="&far;"))
    path.write_text('<!DOCTYPE a [<!ENTITY far "/vsicurl/x">]>' + path.read_text())
    with pytest.raises(SceneError, match="document type"):
        open_scene([path], OPTIONS)


def test_a_web_service_file_needs_leave(tmp_path: Path) -> None:
    service = tmp_path / "service.xml"
    service.write_text('<GDAL_WMS><Service name="TMS"></Service></GDAL_WMS>')
    wrapped = vrt(
        tmp_path / "a.vrt", SOURCE.format(attributes=' relativeToVRT="1"', name="service.xml")
    )
    for path in (service, wrapped):
        with pytest.raises(SceneError, match=r"service\.xml: a text file"):
            open_scene([path], OPTIONS)


def test_a_vrt_of_missing_files(tmp_path: Path) -> None:
    inside = SOURCE.format(attributes=' relativeToVRT="1"', name="gone.tif")
    with pytest.raises(MissingInputError, match=r"gone\.tif, which is no file"):
        open_scene([vrt(tmp_path / "a.vrt", inside)], OPTIONS)


def test_leave_opens_what_was_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", noise(20, 20, 1))
    inside = SOURCE.format(attributes="", name=f"/vsisubfile/0,{tmp_path / 'a.tif'}")
    path = vrt(tmp_path / "a.vrt", inside)
    with pytest.raises(SceneError, match="remote source"):
        open_scene([path], OPTIONS)
    with open_scene([path], replace(OPTIONS, allow_remote=True)) as scene:
        np.testing.assert_array_equal(scene.read(Window(0, 0, 20, 20))[0][0], noise(20, 20, 1)[0])
