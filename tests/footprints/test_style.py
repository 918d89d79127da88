from __future__ import annotations

import contextlib
import itertools
import sqlite3
from pathlib import Path
from xml.etree import ElementTree

from buildext.footprints.style import CLASSES, confidence_qml
from buildext.footprints.write import open_writer
from tests.footprints.made import UTM, three_features


def test_the_geopackage_carries_its_default_style(tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    with open_writer(path, UTM, metadata={}, layer="roofs") as writer:
        writer.write(three_features())
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        (style,) = database.execute("SELECT * FROM layer_styles")
        (kind,) = database.execute(
            "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'"
        ).fetchone()
        (geometry_column,) = database.execute(
            "SELECT column_name FROM gpkg_geometry_columns"
        ).fetchone()
    assert style.keys() == [
        *("id", "f_table_catalog", "f_table_schema", "f_table_name", "f_geometry_column"),
        *("styleName", "styleQML", "styleSLD", "useAsDefault", "description", "owner", "ui"),
        "update_time",
    ]
    assert kind == "attributes"
    # QGIS compares with =, to which NULL never answers.
    assert (style["f_table_catalog"], style["f_table_schema"]) == ("", "")
    assert (style["f_table_name"], style["f_geometry_column"]) == ("roofs", geometry_column)
    assert style["useAsDefault"] == 1
    assert style["styleQML"] == confidence_qml()
    assert len(style["styleName"]) <= 30


def test_the_style_is_graduated_over_all_confidences() -> None:
    renderer = ElementTree.fromstring(confidence_qml()).find("renderer-v2")
    assert renderer is not None
    # The names under which QGIS registers them; with others it falls back to a plain symbol.
    assert (renderer.get("type"), renderer.get("attr")) == ("graduatedSymbol", "confidence")
    ranges = renderer.findall("ranges/range")
    symbols = {symbol.get("name") for symbol in renderer.findall("symbols/symbol")}
    assert {step.get("symbol") for step in ranges} == symbols
    assert len(symbols) == len(CLASSES)
    limits = [(float(step.get("lower", "")), float(step.get("upper", ""))) for step in ranges]
    assert limits[0][0] == 0
    assert limits[-1][1] == 1
    assert all(low[1] == high[0] for low, high in itertools.pairwise(limits))


def test_the_outline_tells_the_regularisation() -> None:
    root = ElementTree.fromstring(confidence_qml())
    expressions = [
        option.get("value", "")
        for option in root.iter("Option")
        if option.get("name") == "expression"
    ]
    assert len(expressions) == len(CLASSES)
    assert all("reg_status" in text and "'kept'" in text for text in expressions)
