"""Extraction inside QGIS: rasters of all kinds, styles, errors, cancel, batch, model."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.qgis_plugin.in_qgis import support
from tests.qgis_plugin.in_qgis.support import Feedback, crop, run

# isort: split
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsGraduatedSymbolRenderer,
    QgsProcessingContext,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
    QgsRasterLayer,
    QgsVectorLayer,
)

pytestmark = pytest.mark.usefixtures("environment", "clean_project")


def layer(path: str) -> QgsVectorLayer:
    found = QgsVectorLayer(path, "found", "ogr")
    assert found.isValid()
    return found


def test_a_run_shows_its_progress_and_keeps_the_crs(tmp_path: Path) -> None:
    ran = run(
        "extract", {"INPUT": str(crop(tmp_path / "a.tif")), "OUTPUT": str(tmp_path / "o.gpkg")}
    )
    assert ran.ok, ran.log
    assert ran.bar == sorted(ran.bar)
    assert ran.bar[-1] == 100
    found = layer(ran.results["OUTPUT"])
    assert ran.results["COUNT"] == found.featureCount() > 3
    assert found.crs().authid() == "EPSG:3857"
    assert {"confidence", "reg_status", "area_m2"} <= {field.name() for field in found.fields()}
    assert isinstance(found.renderer(), QgsGraduatedSymbolRenderer)
    assert "tiles" in ran.log
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "o.gpkg"]


def test_the_style_is_put_on_formats_that_cannot_carry_it(
    tmp_path: Path, clean_project: Any
) -> None:
    out = str(tmp_path / "o.fgb")
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("buildext:extract")
    context, feedback = QgsProcessingContext(), Feedback()
    context.setProject(clean_project)
    context.addLayerToLoadOnCompletion(
        out, QgsProcessingContext.LayerDetails("Footprints", clean_project, "OUTPUT")
    )
    parameters = {"INPUT": str(crop(tmp_path / "a.tif")), "OUTPUT": out}
    _, ok = algorithm.run(parameters, context, feedback)
    assert ok, feedback.textLog()
    found = layer(out)
    assert not isinstance(found.renderer(), QgsGraduatedSymbolRenderer)
    context.layerToLoadOnCompletionDetails(out).postProcessor().postProcessLayer(
        found, context, feedback
    )
    assert found.renderer().classAttribute() == "confidence"
    assert len(found.renderer().ranges()) == 5


def test_an_error_comes_with_its_hint_and_leaves_no_file(tmp_path: Path) -> None:
    scene = crop(tmp_path / "a.tif")
    out = tmp_path / "o.gpkg"
    ran = run("extract", {"INPUT": str(scene), "MODEL": "nonesuch", "OUTPUT": str(out)})
    assert not ran.ok
    assert "nonesuch" in ran.log and "→" in ran.log
    assert "Traceback" not in ran.log
    assert not out.exists()


def test_a_cancel_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    large = support.large_scene(tmp_path / "large.vrt")
    folder = tmp_path / "out"
    folder.mkdir()
    feedback = Feedback()
    feedback.progressChanged.connect(lambda value: feedback.cancel() if value > 0 else None)
    parameters = {
        "INPUT": str(large), "TILE": 256,
        "OUTPUT": str(folder / "o.gpkg"), "PROBABILITY": str(folder / "p.tif"),
    }  # fmt: skip
    ran = run("extract", parameters, feedback)
    assert not ran.ok
    assert "Cancelled" in ran.log
    assert 0 < max(ran.bar) < 100
    assert support.processes_with(str(folder)) == []
    assert list(folder.iterdir()) == []


def test_an_extent_and_a_mask_in_memory_limit_the_work(tmp_path: Path) -> None:
    scene = crop(tmp_path / "a.tif", 480)
    raster = QgsRasterLayer(str(scene), "a")
    box = raster.extent()
    middle = box.xMinimum() + box.width() / 2
    mask = QgsVectorLayer("Polygon?crs=EPSG:3857", "mask", "memory")
    polygon = QgsFeature()
    polygon.setGeometry(QgsGeometry.fromRect(box).buffer(50, 4))
    mask.dataProvider().addFeature(polygon)
    mask.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    everywhere = run("extract", {"INPUT": raster, "OUTPUT": str(tmp_path / "all.gpkg")})
    limited = run(
        "extract",
        {
            "INPUT": raster,
            "MASK": mask,
            "EXTENT": f"{box.xMinimum()},{middle},{box.yMinimum()},{box.yMaximum()} [EPSG:3857]",
            "OUTPUT": str(tmp_path / "part.gpkg"),
        },
    )
    assert everywhere.ok and limited.ok, limited.log
    assert 0 < limited.results["COUNT"] < everywhere.results["COUNT"]
    assert layer(limited.results["OUTPUT"]).extent().xMaximum() <= middle + 1


def test_spaces_and_umlauts_in_all_paths(tmp_path: Path) -> None:
    folder = tmp_path / "Häuser & Höfe, 2. Fassung"
    folder.mkdir()
    scene = crop(folder / "Übersicht Süd.tif")
    ran = run("extract", {"INPUT": str(scene), "OUTPUT": str(folder / "Gebäude ß.gpkg")})
    assert ran.ok, ran.log
    assert layer(ran.results["OUTPUT"]).featureCount() > 3


def test_four_bands_of_sixteen_bits(tmp_path: Path) -> None:
    whole = gdal.Open(str(support.SATELLITE))
    path = tmp_path / "four.tif"
    window = [100, 100, 320, 320]
    gdal.Translate(str(path), whole, srcWin=window, bandList=[1, 2, 3, 1])
    raster = QgsRasterLayer(str(path), "four")
    assert raster.bandCount() == 4
    assert raster.dataProvider().dataType(1) == 2  # Qgis.DataType.UInt16
    ran = run("extract", {"INPUT": raster, "OUTPUT": str(tmp_path / "o.gpkg")})
    assert ran.ok, ran.log
    assert ran.results["COUNT"] > 3


def test_a_raster_without_crs(tmp_path: Path) -> None:
    pixels = gdal.Translate("", str(support.SCENE), format="MEM", srcWin=[300, 300, 320, 320])
    pixels.SetProjection("")
    path = tmp_path / "plain.tif"
    gdal.Translate(str(path), pixels)
    raster = QgsRasterLayer(str(path), "plain")
    raster.setCrs(QgsCoordinateReferenceSystem())
    parameters = {"INPUT": raster, "OUTPUT": str(tmp_path / "o.gpkg")}
    refused = run("extract", parameters)
    assert not refused.ok
    assert "no coordinate reference system" in refused.log
    # The user gives the layer a CRS that the file does not know.
    raster.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    given = run("extract", parameters)
    assert given.ok, given.log
    assert layer(given.results["OUTPUT"]).crs().authid() == "EPSG:3857"
    assert given.results["COUNT"] > 3


def test_a_raster_in_memory(tmp_path: Path) -> None:
    crop(Path("/vsimem/scene.tif"))
    raster = QgsRasterLayer("/vsimem/scene.tif", "memory")
    assert raster.isValid()
    box = raster.extent()
    part = f"{box.xMinimum()},{box.center().x()},{box.yMinimum()},{box.yMaximum()} [EPSG:3857]"
    ran = run("extract", {"INPUT": raster, "EXTENT": part, "OUTPUT": str(tmp_path / "o.gpkg")})
    gdal.Unlink("/vsimem/scene.tif")
    assert ran.ok, ran.log
    assert ran.results["COUNT"] > 1


class MapServer(http.server.BaseHTTPRequestHandler):
    """A WMS 1.3.0 with one layer: the real scene, drawn by GDAL."""

    def do_GET(self) -> None:
        asked = {
            key.upper(): value[0] for key, value in parse_qs(urlsplit(self.path).query).items()
        }
        if asked.get("REQUEST") == "GetCapabilities":
            self._send("text/xml", CAPABILITIES.format(port=self.server.server_port).encode())
            return
        west, south, east, north = map(float, asked["BBOX"].split(","))
        picture = gdal.Warp(
            "", str(support.SCENE), format="MEM", outputBounds=(west, south, east, north),
            width=int(asked["WIDTH"]), height=int(asked["HEIGHT"]), dstAlpha=True,
        )  # fmt: skip
        gdal.Translate("/vsimem/served.png", picture, format="PNG")
        self._send("image/png", bytes(read_vsi("/vsimem/served.png")))

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def read_vsi(name: str) -> bytes:
    handle = gdal.VSIFOpenL(name, "rb")
    try:
        return gdal.VSIFReadL(1, gdal.VSIStatL(name).size, handle)
    finally:
        gdal.VSIFCloseL(handle)


CAPABILITIES = """<?xml version="1.0"?>
<WMS_Capabilities version="1.3.0" xmlns="http://www.opengis.net/wms"
 xmlns:xlink="http://www.w3.org/1999/xlink">
<Service><Name>WMS</Name><Title>scene</Title></Service>
<Capability><Request>
<GetCapabilities><Format>text/xml</Format><DCPType><HTTP><Get>
<OnlineResource xlink:href="http://127.0.0.1:{port}/?"/></Get></HTTP></DCPType></GetCapabilities>
<GetMap><Format>image/png</Format><DCPType><HTTP><Get>
<OnlineResource xlink:href="http://127.0.0.1:{port}/?"/></Get></HTTP></DCPType></GetMap>
</Request><Layer><Title>all</Title><CRS>EPSG:3857</CRS>
<BoundingBox CRS="EPSG:3857" minx="3627854" miny="38753" maxx="3627931" maxy="38830"/>
<Layer queryable="0"><Name>scene</Name><Title>scene</Title><CRS>EPSG:3857</CRS>
<EX_GeographicBoundingBox><westBoundLongitude>32.58</westBoundLongitude>
<eastBoundLongitude>32.60</eastBoundLongitude><southBoundLatitude>0.34</southBoundLatitude>
<northBoundLatitude>0.36</northBoundLatitude></EX_GeographicBoundingBox>
<BoundingBox CRS="EPSG:3857" minx="3627854" miny="38753" maxx="3627931" maxy="38830"/>
</Layer></Layer></Capability></WMS_Capabilities>
"""


@pytest.fixture
def map_server() -> Iterator[QgsRasterLayer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), MapServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"url=http://127.0.0.1:{server.server_port}/&layers=scene&styles="
    raster = QgsRasterLayer(f"{address}&format=image/png&crs=EPSG:3857", "map", "wms")
    assert raster.isValid(), raster.error().message()
    yield raster
    server.shutdown()
    server.server_close()


def test_a_map_server_needs_an_extent_and_is_then_fetched(
    map_server: QgsRasterLayer, tmp_path: Path
) -> None:
    parameters = {"INPUT": map_server, "OUTPUT": str(tmp_path / "o.gpkg")}
    refused = run("extract", parameters)
    assert not refused.ok
    assert "Give an extent" in refused.log
    far = {**parameters, "EXTENT": "3600000,3700000,30000,90000 [EPSG:3857]"}
    too_much = run("extract", far)
    assert not too_much.ok
    assert "at most 100 million" in too_much.log
    near = {
        **parameters,
        "EXTENT": "3627870,3627910,38770,38810 [EPSG:3857]",
        "RENDER_SIZE": 0.15,
    }
    fetched = run("extract", near)
    assert fetched.ok, fetched.log
    assert fetched.results["COUNT"] > 5
    assert layer(fetched.results["OUTPUT"]).crs().authid() == "EPSG:3857"


def test_a_batch_over_three_rasters(tmp_path: Path) -> None:
    counts = []
    for number in range(3):
        scene = crop(tmp_path / f"{number}.tif", 256, (number * 256, 200))
        ran = run("extract", {"INPUT": str(scene), "OUTPUT": str(tmp_path / f"{number}.gpkg")})
        assert ran.ok, ran.log
        counts.append(layer(ran.results["OUTPUT"]).featureCount())
    assert len(counts) == 3 and min(counts) > 0


def test_inside_a_model(tmp_path: Path) -> None:
    model = QgsProcessingModelAlgorithm("Footprints, a little larger", "")
    model.addModelParameter(
        QgsProcessingParameterRasterLayer("IMAGE", "Image"), QgsProcessingModelParameter("IMAGE")
    )
    extract = QgsProcessingModelChildAlgorithm("buildext:extract")
    extract.setChildId("extract")
    source = QgsProcessingModelChildParameterSource
    extract.addParameterSources("INPUT", [source.fromModelParameter("IMAGE")])
    model.addChildAlgorithm(extract)
    buffer = QgsProcessingModelChildAlgorithm("native:buffer")
    buffer.setChildId("buffer")
    buffer.addParameterSources("INPUT", [source.fromChildOutput("extract", "OUTPUT")])
    buffer.addParameterSources("DISTANCE", [source.fromStaticValue(1.0)])
    result = QgsProcessingModelOutput("LARGER", "larger")
    result.setChildId("buffer")
    result.setChildOutputName("OUTPUT")
    buffer.setModelOutputs({"LARGER": result})
    model.addChildAlgorithm(buffer)
    context, feedback = QgsProcessingContext(), Feedback()
    name = model.destinationParameterDefinitions()[0].name()
    parameters = {"IMAGE": str(crop(tmp_path / "a.tif")), name: str(tmp_path / "larger.gpkg")}
    _, ok = model.run(parameters, context, feedback)
    assert ok, feedback.textLog()
    assert layer(str(tmp_path / "larger.gpkg")).featureCount() > 3
