"""Q-HyViT: post-training quantisation of hybrid transformers (arXiv 2303.12557).

Site by site, in the order of computation:

1. The error of a site is weighed by the diagonal of the Fisher information at its output
   (`workbench`), so that what the buildings depend on is kept and what they do not may be lost.
2. Intervals of weights and activations are searched in turns (`search`), and with them, for each
   tensor, the scheme (symmetric or asymmetric) and the granularity (one scale or one for each
   channel), among what the target runs. Every interval contains zero, so no zero point can lie
   beyond the levels, which is what happens at bridges otherwise.
3. Sites of *bridges*, where convolutions meet the transformer (`bridge`), stay quantised once they
   are calibrated: what comes later sees their error and makes up for it. All other sites return
   to floats until the end.
4. Biases are corrected once by the mean error that is left in each channel.

Departures from the paper: schemes are chosen at every site and not at bridges alone; factors are
tried coarsely first; the weights of the Fisher form are explained in `workbench`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from buildext.learn.compress.criteria import FisherWeighted
from buildext.learn.compress.ir.graph import Slot
from buildext.learn.compress.methods.biases import add_to_biases, mean_error
from buildext.learn.compress.methods.searched import all_choices
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.quantiser import Quantiser
from buildext.learn.compress.search import SiteSearch
from buildext.learn.compress.workbench import Workbench


def q_hyvit(bench: Workbench) -> Plan:
    """Quantise a hybrid network, or a convolutional one, which has no bridges."""
    bridged = frozenset(name for bridge in bench.bridges for name in bridge.sites)
    quantisers: dict[Slot, Quantiser] = {}
    staying: dict[Slot, Quantiser] = {}
    corrections: dict[str, torch.Tensor] = {}
    bench.progress.start("calibrating", len(bench.sites))
    for group in bench.segments(ends_of_runs(bench, bridged)):
        seen = bench.observe(group, staying, fisher=True)
        for site in group:
            own = seen.pop(site.name)
            search = SiteSearch(bench, site, own, FisherWeighted(), bench.bits)
            found, _ = search.run(all_choices(bench, site))
            slots: Mapping[Slot, Quantiser] = {(site.name, k): q for k, q in found.items()}
            quantisers.update(slots)
            if site.name in bridged:
                staying.update(slots)
            correction = mean_error(bench, site, own, found)
            if correction is not None:
                corrections[site.name] = correction
            bench.progress.advance()
    bench.progress.finish()
    return replace(Plan(bench.graph, quantisers), graph=add_to_biases(bench.graph, corrections))


def ends_of_runs(bench: Workbench, bridged: frozenset[str]) -> frozenset[str]:
    """The last site of each unbroken run of bridge sites: what follows must be seen anew."""
    names = [site.name for site in bench.sites]
    return frozenset(
        name
        for name, following in zip(names, [*names[1:], ""], strict=True)
        if name in bridged and following not in bridged
    )
