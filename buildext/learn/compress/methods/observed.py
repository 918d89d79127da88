"""Quantisers from what was seen alone, without any search: min-max and percentiles."""

from __future__ import annotations

from collections.abc import Callable

import torch

from buildext.learn.compress.interval import Interval, interval_of
from buildext.learn.compress.ir.graph import Slot
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.quantiser import Quantiser
from buildext.learn.compress.workbench import Workbench

# What each tail may lose, in Li et al., "Fully Quantized Network for Object Detection" (CVPR 2019),
# whose clipping by percentiles became the common baseline.
TAIL = 1e-4
# More values than these are thinned out evenly before they are sorted.
MOST_SORTED = 2_000_000

RangeOf = Callable[[list[torch.Tensor]], Interval]


def min_max(bench: Workbench) -> Plan:
    """Every tensor over the whole range that it was seen in (Jacob et al., CVPR 2018)."""
    return observed(bench, interval_of)


def percentile(bench: Workbench) -> Plan:
    """Activations without the outermost 0.01 % at either end; weights over their whole range."""
    return observed(bench, tails_cut)


def tails_cut(tensors: list[torch.Tensor]) -> Interval:
    """The range of several tensors without the outermost values."""
    values = torch.cat([t.reshape(-1) for t in tensors])
    values = values[:: max(1, -(-len(values) // MOST_SORTED))].sort().values
    cut = round(TAIL * (len(values) - 1))
    return Interval(values[cut], values[len(values) - 1 - cut], None)


def observed(bench: Workbench, range_of: RangeOf) -> Plan:
    """A plan from ranges; asymmetric where the target can run it, since that wastes no level."""
    quantisers: dict[Slot, Quantiser] = {}
    bench.progress.start("calibrating", len(bench.sites))
    for group in bench.segments():
        seen = bench.observe(group)
        for site in group:
            if site.weight is not None:
                interval = interval_of([bench.weight(site)], site.weight_axis)
                choice = bench.target.weights(site.kind)[0]
                quantisers[site.weight] = interval.quantiser(choice, bench.bits)
            ways = [c for c in bench.target.activations(site) if not c.per_channel]
            choice = ways[-1]
            for slot in site.activations:
                interval = range_of([batch[slot[1]] for batch in seen[site.name].operands])
                quantisers[slot] = interval.quantiser(choice, bench.bits)
            bench.progress.advance()
    bench.progress.finish()
    return Plan(bench.graph, quantisers)
