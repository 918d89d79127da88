"""Methods by name."""

from __future__ import annotations

from collections.abc import Callable

from buildext.learn.compress.methods.fq_vit import fq_vit
from buildext.learn.compress.methods.observed import min_max, percentile
from buildext.learn.compress.methods.ptq4vit import ptq4vit
from buildext.learn.compress.methods.q_hyvit import q_hyvit
from buildext.learn.compress.methods.repq_vit import repq_vit
from buildext.learn.compress.methods.searched import easy_quant
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.workbench import Workbench

METHODS: dict[str, Callable[[Workbench], Plan]] = {
    "q-hyvit": q_hyvit,
    "min-max": min_max,
    "percentile": percentile,
    "easyquant": easy_quant,
    "fq-vit": fq_vit,
    "ptq4vit": ptq4vit,
    "repq-vit": repq_vit,
}
