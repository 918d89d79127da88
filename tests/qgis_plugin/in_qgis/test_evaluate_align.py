"""Evaluation, alignment and the check of the installation inside QGIS."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.qgis_plugin.in_qgis import support
from tests.qgis_plugin.in_qgis.support import crop, run

# isort: split
from qgis.core import (
    QgsApplication,
    QgsFeatureRequest,
    QgsProcessingContext,
    QgsRasterLayer,
    QgsVectorLayer,
)

pytestmark = pytest.mark.usefixtures("environment", "clean_project")


def test_scores_by_height_class_with_a_report(tmp_path: Path) -> None:
    # The reference is a layer in memory: its footprints are 2 m off to the east.
    city = QgsVectorLayer(f"{support.CITY}|layername=tiers", "city", "ogr")
    shifted = city.materialize(QgsFeatureRequest())
    shifted.startEditing()
    for feature in shifted.getFeatures():
        geometry = feature.geometry()
        geometry.translate(2, 0)
        shifted.changeGeometry(feature.id(), geometry)
    shifted.commitChanges()
    ran = run(
        "evaluate",
        {
            "PREDICTION": city,
            "REFERENCE": shifted,
            "HEIGHT_FIELD": "structure_height_m",
            "RESOLUTION": 1.0,
            "REPORT": str(tmp_path / "page.html"),
            "ERRORS": str(tmp_path / "errors.gpkg"),
            "SCORES": str(tmp_path / "scores.json"),
        },
    )
    assert ran.ok, ran.log
    assert 0.8 < ran.results["PIXEL_F1"] < 1
    assert "skyscraper" in ran.log and "low-rise" in ran.log
    assert "<svg" in (tmp_path / "page.html").read_text("utf-8")
    scores = json.loads((tmp_path / "scores.json").read_text("utf-8"))
    assert len(scores["classes"]) >= 4
    loaded = ran.context.layersToLoadOnCompletion()
    assert {details.name for details in loaded.values()} >= {"false_positives", "false_negatives"}
    assert all(QgsVectorLayer(source, "", "ogr").isValid() for source in loaded)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("buildext:evaluate")
    assert algorithm.outputDefinition("REPORT").type() == "outputHtml"


def test_alignment_moves_labels_and_says_so(tmp_path: Path) -> None:
    scene = crop(tmp_path / "a.tif", 480)
    layer = QgsVectorLayer(str(support.BUILDINGS), "labels", "ogr")
    extent = QgsRasterLayer(str(scene), "a").extent()
    inside = layer.materialize(QgsFeatureRequest(extent))
    inside.startEditing()
    for feature in inside.getFeatures():
        geometry = feature.geometry()
        geometry.translate(3, -2)
        inside.changeGeometry(feature.id(), geometry)
    inside.commitChanges()
    ran = run(
        "align",
        {
            "INPUT": str(scene),
            "LABELS": inside,
            "MAX_SHIFT": 8.0,
            "OUTPUT": str(tmp_path / "aligned.gpkg"),
        },
    )
    assert ran.ok, ran.log
    assert ran.results["MOVED"] > 5
    aligned = QgsVectorLayer(ran.results["OUTPUT"], "aligned", "ogr")
    assert aligned.featureCount() == inside.featureCount()
    steps = sorted(
        feature["east_m"] for feature in aligned.getFeatures() if feature["align_status"] == "moved"
    )
    assert -4.5 < steps[len(steps) // 2] < -1.5
    assert ran.bar == sorted(ran.bar)


def test_the_style_of_alignment_is_one(tmp_path: Path) -> None:
    from buildext_qgis.styles import STYLES

    layer = QgsVectorLayer("Polygon?crs=EPSG:3857&field=align_status:string", "a", "memory")
    _, ok = layer.loadNamedStyle(str(STYLES / "aligned.qml"))
    assert ok
    assert layer.renderer().classAttribute() == "align_status"
    values = [category.value() for category in layer.renderer().categories()]
    assert values == ["moved", "kept", "missing", "unseen"]


def test_the_check_gives_a_report_to_paste(tmp_path: Path) -> None:
    ran = run("check", {"REPORT": str(tmp_path / "report.html")})
    assert ran.ok, ran.log
    assert ran.results["OK"]
    text = (tmp_path / "report.html").read_text("utf-8")
    for said in ("QGIS: 3.", "plugin: ", "openvino", "verified", "All is well."):
        assert said in text
    assert "torch: not installed" in text or os.environ.get("BUILDEXT_ENVIRONMENT")


def test_the_check_ends_well_where_nothing_is_installed(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    ran = run("check", {"ENVIRONMENT": str(tmp_path), "REPORT": str(report)})
    assert ran.ok
    assert not ran.results["OK"]
    assert "there is no" in report.read_text("utf-8")


def test_versions_that_do_not_fit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from buildext_qgis import settings

    monkeypatch.setattr(settings, "plugin_version", lambda: "7.3.0")
    ran = run("extract", {"INPUT": str(support.SCENE), "OUTPUT": str(tmp_path / "o.gpkg")})
    assert not ran.ok
    assert "7.3.0" in ran.log and "make the environment anew" in ran.log


def test_a_context_without_project_is_no_harm(tmp_path: Path) -> None:
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("buildext:evaluate")
    context, feedback = QgsProcessingContext(), support.Feedback()
    parameters = {
        "PREDICTION": str(support.BUILDINGS),
        "REFERENCE": str(support.BUILDINGS),
        "ERRORS": str(tmp_path / "errors.gpkg"),
    }
    results, ok = algorithm.run(parameters, context, feedback)
    assert ok, feedback.textLog()
    assert results["OBJECT_F1"] == 1
