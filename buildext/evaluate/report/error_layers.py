"""Error layers: the mistakes as a GeoPackage, to be worked through in a GIS.

| layer | polygons of | what |
|---|---|---|
| `true_positives` | the prediction | those that match |
| `false_positives` | the prediction | those that match nothing |
| `false_negatives` | the reference | those that nothing matches |
| `splits` | the reference | those found in several pieces |
| `merges` | the prediction | those that cover several true buildings |

A building can be in two layers: a split one may be matched by its largest part, or missed. Each
layer carries its colour for QGIS. Geometries are in the CRS of the scored grid and cut at what was
scored, as the scores saw them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.atomic import atomic_path
from buildext.errors import UsageError
from buildext.evaluate.report.findings import Buildings, Findings, Flags, findings_of
from buildext.evaluate.report.style import FALSE, MATCHED, MERGE, MISSED, SPLIT, Verdict
from buildext.evaluate.scores import Evaluation
from buildext.footprints.destination import output_errors
from buildext.footprints.style import LayerStyle, store_qml

Columns = dict[str, NDArray[Any]]

_QML = """\
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <renderer-v2 type="singleSymbol" symbollevels="0" enableorderby="0" forceraster="0">
    <symbols>
      <symbol name="0" type="fill" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option name="color" type="QString" value="{rgb},90"/>
            <Option name="style" type="QString" value="solid"/>
            <Option name="outline_color" type="QString" value="{rgb},255"/>
            <Option name="outline_style" type="QString" value="{line}"/>
            <Option name="outline_width" type="QString" value="0.5"/>
            <Option name="outline_width_unit" type="QString" value="MM"/>
            <Option name="joinstyle" type="QString" value="miter"/>
          </Option>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <blendMode>0</blendMode>
  <featureBlendMode>0</featureBlendMode>
  <layerOpacity>1</layerOpacity>
  <layerGeometryType>2</layerGeometryType>
</qgis>
"""


def write_error_layers(path: Path, evaluation: Evaluation, *, overwrite: bool = False) -> None:
    """Write the layers.

    Args:
        path: a GeoPackage.
        evaluation: with the records of its buildings.
        overwrite: replace an existing file.

    Raises:
        UsageError: the name is not that of a GeoPackage.
        OutputError: the file cannot be written, or exists.
    """
    check_layers_path(path)
    findings = findings_of(evaluation)
    pred, ref = findings.pred, findings.ref
    layers: tuple[tuple[str, Verdict, Buildings, Flags], ...] = (
        ("true_positives", MATCHED, pred, pred.matched),
        ("false_positives", FALSE, pred, pred.unmatched),
        ("false_negatives", MISSED, ref, ref.unmatched),
        ("splits", SPLIT, ref, ref.several),
        ("merges", MERGE, pred, pred.several),
    )
    told = evaluation.to_json()
    metadata = json.dumps({key: told[key] for key in ("prediction", "reference", "settings")})
    with atomic_path(path, overwrite) as temporary, output_errors(path):
        for name, _, side, chosen in layers:
            _write(temporary, name, findings, side, chosen, metadata)
        store_qml(
            temporary,
            {
                name: LayerStyle(f"buildext {verdict.key}", _qml(verdict), verdict.text)
                for name, verdict, _, _ in layers
            },
        )


def check_layers_path(path: Path) -> None:
    """Refuse a name that is not that of a GeoPackage.

    Raises:
        UsageError: it is not.
    """
    if path.suffix.lower() != ".gpkg":
        raise UsageError(
            f"got {path} for the error layers; expected the name of a GeoPackage",
            hint="several styled layers need one file: name it errors.gpkg, for example",
        )


def _write(
    path: Path, name: str, findings: Findings, side: Buildings, chosen: Flags, metadata: str
) -> None:
    """Append one layer."""
    import pyogrio

    polygons = findings.frame.from_plane(side.polygons[chosen])
    parts = [shapely.multipolygons(shapely.get_parts(polygon)) for polygon in polygons]
    columns = _columns(findings, side, chosen)
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array(parts, dtype=object)),
        list(columns.values()),
        list(columns),
        layer=name,
        driver="GPKG",
        geometry_type="MultiPolygon",
        crs=findings.frame.crs.to_wkt(),
        append=path.exists(),
        layer_metadata={"buildext": metadata},
    )


def _columns(findings: Findings, side: Buildings, chosen: Flags) -> Columns:
    columns: Columns = {
        "area_m2": shapely.area(side.polygons[chosen]).round(2),
        "best_iou": side.best_iou[chosen].round(4),
        "wrong_m2": side.wrong_m2[chosen].round(2),
        "matched": side.matched[chosen],
        "contents": side.contents[chosen].astype(np.int32),
    }
    of_pred = side is findings.pred
    more = ("confidence", findings.confidence) if of_pred else ("height_m", findings.heights_m)
    if more[1] is not None:
        columns[more[0]] = more[1][chosen]
    return columns


def _qml(verdict: Verdict) -> str:
    """The style as QGIS 3.22 and later read it; what overlies another layer has a dashed line."""
    line = "dash" if verdict in (SPLIT, MERGE) else "solid"
    return _QML.format(rgb=",".join(map(str, verdict.rgb)), line=line)
