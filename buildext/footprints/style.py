"""A QGIS style inside the GeoPackage, so that the layer opens readable.

QGIS looks for a table `layer_styles` in a GeoPackage and applies the row marked as default. What
the style tells: the fill is the confidence, from red for doubtful to blue for certain (ColorBrewer
RdYlBu, which colour-blind people can read), half transparent to leave the image visible; the
outline is the regularisation: solid where it was regularised, dashed where only simplified, dotted
where the shape was kept as found.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STYLE_NAME = "buildext confidence"

# The columns as QGIS itself creates them: it reads no other layout.
_TABLE = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256),
    f_table_schema TEXT(256),
    f_table_name TEXT(256),
    f_geometry_column TEXT(256),
    styleName TEXT(30),
    styleQML TEXT,
    styleSLD TEXT,
    useAsDefault BOOLEAN,
    description TEXT,
    owner TEXT(30),
    ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""
_REGISTER = """
INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id)
VALUES ('layer_styles', 'attributes', 'layer_styles', 0)
"""
# Catalogue and schema are empty texts, not NULL: QGIS compares them with =.
_INSERT = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,
                          styleName, styleQML, styleSLD, useAsDefault, description, owner)
SELECT '', '', table_name, column_name, ?, ?, '', 1, ?, ''
FROM gpkg_geometry_columns WHERE table_name = ?
"""


@dataclass(frozen=True, slots=True)
class LayerStyle:
    """A style of one layer.

    Attributes:
        name: as QGIS lists it, at most 30 characters.
        qml: the style as QGIS reads it.
        description: what it tells.
    """

    name: str
    qml: str
    description: str


@dataclass(frozen=True, slots=True)
class ConfidenceClass:
    """A step of the legend: confidences from `low` to `high` in one colour."""

    low: float
    high: float
    red_green_blue: tuple[int, int, int]
    label: str


CLASSES = (
    ConfidenceClass(0.0, 0.6, (215, 25, 28), "below 0.6: doubtful"),
    ConfidenceClass(0.6, 0.7, (253, 174, 97), "0.6 to 0.7"),
    ConfidenceClass(0.7, 0.8, (255, 255, 191), "0.7 to 0.8"),
    ConfidenceClass(0.8, 0.9, (171, 217, 233), "0.8 to 0.9"),
    ConfidenceClass(0.9, 1.0, (44, 123, 182), "above 0.9: certain"),
)

_FILL_ALPHA = 120
_OUTLINE = (
    "CASE WHEN &quot;reg_status&quot; = 'kept' THEN 'dot'"
    " WHEN &quot;reg_status&quot; = 'simplified' THEN 'dash' ELSE 'solid' END"
)

_RANGE = (
    '      <range symbol="{number}" lower="{low}" upper="{high}" label="{label}" render="true"/>'
)

_SYMBOL = """\
      <symbol name="{number}" type="fill" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option name="color" type="QString" value="{red},{green},{blue},{alpha}"/>
            <Option name="style" type="QString" value="solid"/>
            <Option name="outline_color" type="QString" value="{red},{green},{blue},255"/>
            <Option name="outline_style" type="QString" value="solid"/>
            <Option name="outline_width" type="QString" value="0.4"/>
            <Option name="outline_width_unit" type="QString" value="MM"/>
            <Option name="joinstyle" type="QString" value="miter"/>
          </Option>
          <data_defined_properties>
            <Option type="Map">
              <Option name="name" type="QString" value=""/>
              <Option name="properties" type="Map">
                <Option name="outlineStyle" type="Map">
                  <Option name="active" type="bool" value="true"/>
                  <Option name="expression" type="QString" value="{outline}"/>
                  <Option name="type" type="int" value="3"/>
                </Option>
              </Option>
              <Option name="type" type="QString" value="collection"/>
            </Option>
          </data_defined_properties>
        </layer>
      </symbol>"""

_DOCUMENT = """\
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <renderer-v2 type="graduatedSymbol" attr="confidence" graduatedMethod="GraduatedColor"
               symbollevels="0" enableorderby="0" forceraster="0">
    <ranges>
{ranges}
    </ranges>
    <symbols>
{symbols}
    </symbols>
  </renderer-v2>
  <blendMode>0</blendMode>
  <featureBlendMode>0</featureBlendMode>
  <layerOpacity>1</layerOpacity>
  <layerGeometryType>2</layerGeometryType>
</qgis>
"""


def confidence_qml() -> str:
    """The style as QGIS 3.22 and later read it."""
    ranges, symbols = [], []
    for number, step in enumerate(CLASSES):
        ranges.append(_RANGE.format(number=number, low=step.low, high=step.high, label=step.label))
        red, green, blue = step.red_green_blue
        symbols.append(
            _SYMBOL.format(
                number=number, red=red, green=green, blue=blue, alpha=_FILL_ALPHA, outline=_OUTLINE
            )
        )
    return _DOCUMENT.format(ranges="\n".join(ranges), symbols="\n".join(symbols))


def store_style(path: Path, layer: str) -> None:
    """Make the confidence style the default of a GeoPackage's layer.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    description = "Fill: confidence. Outline: solid regularised, dashed simplified, dotted kept."
    store_qml(path, {layer: LayerStyle(STYLE_NAME, confidence_qml(), description)})


def store_qml(path: Path, styles: Mapping[str, LayerStyle]) -> None:
    """Make each style the default of its layer.

    Args:
        path: a GeoPackage without styles.
        styles: by the layer's name.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(_TABLE)
        database.execute(_REGISTER)
        for layer, style in styles.items():
            database.execute(_INSERT, (style.name, style.qml, style.description, layer))
