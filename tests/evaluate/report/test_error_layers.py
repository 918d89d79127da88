"""Error layers: what the scores counted, as QGIS reads it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest
import shapely

from buildext.errors import OutputExistsError, UsageError
from buildext.evaluate import evaluate_files
from buildext.evaluate.report import write_error_layers
from buildext.evaluate.report.style import MISSED
from tests.evaluate.files import CRS, place
from tests.evaluate.report.made import TRUE, options, write_place

COUNTS = {
    "true_positives": 3,
    "false_positives": 2,
    "false_negatives": 2,
    "splits": 1,
    "merges": 1,
}


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    pred, ref, image = write_place(folder)
    path = folder / "errors.gpkg"
    write_error_layers(path, evaluate_files(pred, ref, options(image)))
    return path


def read(path: Path, layer: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The fields of a layer by name, and its geometries."""
    about, _, wkb, values = pyogrio.raw.read(path, layer=layer)
    return dict(zip(about["fields"], values, strict=True)), shapely.from_wkb(wkb)


def test_each_mistake_is_in_its_layer(layers: Path) -> None:
    for name, count in COUNTS.items():
        about = pyogrio.read_info(layers, layer=name)
        assert about["features"] == count, name
        assert about["crs"] == CRS
        assert about["geometry_type"] == "MultiPolygon"


def test_missed_buildings_lie_where_they_are(layers: Path) -> None:
    missed, shapes = read(layers, "false_negatives")
    row = int(np.flatnonzero(missed["best_iou"] == 0)[0])
    assert shapely.symmetric_difference(shapes[row], place(TRUE[4])).area < 1e-6
    assert missed["height_m"][row] == 50
    assert missed["area_m2"][row] == missed["wrong_m2"][row] == 100


def test_predictions_carry_their_confidence(layers: Path) -> None:
    false, _ = read(layers, "false_positives")
    assert sorted(false["confidence"]) == pytest.approx([0.8, 0.95])
    merges, _ = read(layers, "merges")
    assert merges["contents"].tolist() == [2]
    assert merges["matched"].tolist() == [True]


def test_each_layer_opens_in_its_colour(layers: Path) -> None:
    with contextlib.closing(sqlite3.connect(layers)) as database:
        rows = database.execute(
            "SELECT f_table_name, styleName, styleQML, useAsDefault FROM layer_styles"
        ).fetchall()
    assert {row[0] for row in rows} == set(COUNTS)
    colours = set()
    for name, style, qml, default in rows:
        assert default == 1
        assert len(style) <= 30
        root = ElementTree.fromstring(qml.partition("\n")[2])
        assert root.find("renderer-v2").get("type") == "singleSymbol"  # type: ignore[union-attr]
        (colour,) = (
            option.get("value")
            for option in root.iter("Option")
            if option.get("name") == "outline_color"
        )
        colours.add(colour)
        if name == "false_negatives":
            assert colour == ",".join(map(str, (*MISSED.rgb, 255)))
    assert len(colours) == len(COUNTS)


def test_no_mistakes_give_empty_layers(tmp_path: Path) -> None:
    _, ref, image = write_place(tmp_path)
    path = tmp_path / "errors.gpkg"
    found = evaluate_files(ref, ref, options(image))
    write_error_layers(path, found)
    assert pyogrio.read_info(path, layer="false_positives")["features"] == 0
    assert pyogrio.read_info(path, layer="true_positives")["features"] == len(TRUE)
    wrong = read(path, "true_positives")[0]["wrong_m2"]
    assert np.allclose(wrong, 0)
    with pytest.raises(OutputExistsError):
        write_error_layers(path, found)
    with pytest.raises(UsageError, match="GeoPackage"):
        write_error_layers(tmp_path / "errors.geojson", found)
