"""What the papers print for the encoders written here, to set our figures beside it.

Parameters and multiply-accumulates in millions, the latter for one image of `side_px`, both of the
ImageNet classifier, as in the papers' tables. TurboViT has no table: its row is what its ratios to
other networks say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

MEASURED = Path(__file__).with_name("papers.json")


@dataclass(frozen=True, slots=True)
class Printed:
    """A row of a paper's table."""

    name: str
    parameters_m: float
    macs_m: float
    side_px: int
    source: str


EFFICIENTVIT = "arXiv 2305.07027"
EFFICIENTMOD = "arXiv 2403.19963"
SHVIT = "arXiv 2401.16456"
PRINTED = (
    Printed("efficientvit_m0", 2.35, 79, 224, EFFICIENTVIT),
    Printed("efficientvit_m1", 2.98, 167, 224, EFFICIENTVIT),
    Printed("efficientvit_m2", 4.19, 201, 224, EFFICIENTVIT),
    Printed("efficientvit_m3", 6.90, 263, 224, EFFICIENTVIT),
    Printed("efficientvit_m4", 8.80, 299, 224, EFFICIENTVIT),
    Printed("efficientvit_m5", 12.47, 522, 224, EFFICIENTVIT),
    Printed("efficientmod_xxs", 4.74, 580, 224, EFFICIENTMOD),
    Printed("efficientmod_xs", 6.63, 770, 224, EFFICIENTMOD),
    Printed("efficientmod_s", 12.90, 1400, 224, EFFICIENTMOD),
    Printed("efficientmod_s_conv", 12.87, 1470, 224, EFFICIENTMOD),
    Printed("shvit_s1", 6.33, 241, 224, SHVIT),
    Printed("shvit_s2", 11.48, 365, 224, SHVIT),
    Printed("shvit_s3", 14.25, 601, 224, SHVIT),
    Printed("shvit_s4", 16.59, 986, 256, SHVIT),
    Printed("turbovit_style", 12.7, 2200, 224, "arXiv 2308.11421, from its ratios"),
)


def measure() -> None:
    """Count our classifiers at the papers' image sizes."""
    import importlib

    from buildext.learn.networks.macs import count_macs, count_parameters
    from buildext.learn.networks.registry import own_family

    rows = {}
    for row in PRINTED:
        module = importlib.import_module(f"buildext.learn.networks.encoders.{own_family(row.name)}")
        network = module.classifier(row.name)
        macs = count_macs(network, row.side_px, row.side_px)
        rows[row.name] = {"parameters": count_parameters(network), "macs": macs}
    lines = [f"  {json.dumps(name)}: {json.dumps(v)}" for name, v in rows.items()]
    MEASURED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
