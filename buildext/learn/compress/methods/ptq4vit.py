"""After PTQ4ViT (Yuan et al., ECCV 2022): a Fisher-weighted search and twin quantisers.

The search is that of `searched`, symmetric, with their Hessian-guided metric (section 3.2), whose
diagonal is our Fisher weight. Twin uniform quantisers (section 3.1) stand after softmax and after
GELU or SiLU where the target can simulate them. No engine multiplies them; on such a target the
search is what remains.
"""

from __future__ import annotations

import torch

from buildext.learn.compress.criteria import FisherWeighted
from buildext.learn.compress.ir.graph import Slot
from buildext.learn.compress.methods.origins import Origin, made_by
from buildext.learn.compress.methods.searched import first_choices
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.quantiser import Quantiser, Twin, Uniform
from buildext.learn.compress.search import SiteSearch
from buildext.learn.compress.workbench import Workbench

# The smallest values of the activations: of GELU at -0.75, of SiLU at -1.28.
LOWEST = {"gelu": 0.17, "silu": 0.279}


def ptq4vit(bench: Workbench) -> Plan:
    """Searched quantisers, some of which are split in two."""
    quantisers: dict[Slot, Quantiser] = {}
    bench.progress.start("calibrating", len(bench.sites))
    for group in bench.segments(sampled=True):
        samples = bench.sample(group, fisher=True)
        for site in group:
            search = SiteSearch(samples.pop(site.name), FisherWeighted(), bench.bits)
            uniform, _ = search.run(first_choices(bench, site))
            found: dict[int, Quantiser] = dict(uniform)
            if bench.target.uneven:
                for slot in site.activations:
                    ways = twins(uniform[slot[1]], made_by(bench.graph, slot))
                    tried = [(search.error({**found, slot[1]: twin}), twin) for twin in ways]
                    if tried:
                        found[slot[1]] = min(tried, key=lambda pair: pair[0])[1]
            quantisers.update({(site.name, position): q for position, q in found.items()})
            bench.progress.advance()
    bench.progress.finish()
    return Plan(bench.graph, quantisers)


def twins(searched: Uniform, origin: Origin) -> list[Twin]:
    """The twin quantisers to choose from, of as many bits as `searched`."""
    levels = 2 ** (searched.bits - 1)
    if origin == "softmax":
        # The coarse range reaches to 1; the fine one's step is smaller by a power of two, so that
        # a shift brings both to one scale.
        coarse = _from_zero(1.0 / levels, searched.bits - 1)
        fine = [_from_zero(2.0**-power / levels, searched.bits - 1) for power in range(1, 9)]
        return [Twin(q, coarse, float(q.limits()[1])) for q in fine]
    if origin in LOWEST:
        coarse = _from_zero(float(searched.limits()[1]) / (levels - 1), searched.bits - 1)
        step = torch.tensor(LOWEST[origin] / (levels - 1))
        below = Uniform(step, torch.tensor(float(levels - 1)), searched.bits - 1, False)
        return [Twin(below, coarse, 0.0)]
    return []


def _from_zero(step: float, bits: int) -> Uniform:
    return Uniform(torch.tensor(step), torch.tensor(0.0), bits, False)
