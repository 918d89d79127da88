"""After FQ-ViT (Lin et al., IJCAI 2022): min-max intervals and logarithmic attention.

What attention weighs its values by crowds near zero; powers of two tell such numbers apart (their
"log-int-softmax"). Their power-of-two factors concern norms that are computed in integers; ours
stay in floats, so they have no place here. On a target that cannot simulate logarithms this is
min-max.
"""

from __future__ import annotations

from buildext.learn.compress.methods.observed import min_max
from buildext.learn.compress.methods.origins import made_by
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.quantiser import Logarithmic
from buildext.learn.compress.workbench import Workbench


def fq_vit(bench: Workbench) -> Plan:
    """Min-max, with powers of two after softmax."""
    return with_logarithms(bench, min_max(bench), 2.0)


def with_logarithms(bench: Workbench, plan: Plan, base: float) -> Plan:
    """The plan with logarithmic quantisers after softmax, where the target simulates them."""
    if not bench.target.uneven:
        return plan
    quantisers = dict(plan.quantisers)
    for slot in quantisers:
        if made_by(plan.graph, slot) == "softmax":
            quantisers[slot] = Logarithmic(1.0, bench.bits, base)
    return Plan(plan.graph, quantisers)
