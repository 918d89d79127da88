"""Q-HyViT: post-training quantisation of hybrid transformers (arXiv 2303.12557).

Site by site, in the order of computation:

1. The error of a site is weighed by the diagonal of the Fisher information at its output
   (`workbench`), so that what the buildings depend on is kept and what they do not may be lost.
2. Intervals of weights and activations are searched in turns (`search`), and with them, for each
   tensor, the scheme (symmetric or asymmetric) and the granularity (one scale or one for each
   channel), among what the target runs. Every interval contains zero, so no zero point can lie
   beyond the levels, which is what happens at bridges otherwise.
3. What was found is compared with the whole ranges by what the network makes of a few tiles, and
   the better is taken. The weight of (1) holds for small errors; where a few numbers are very large
   and the float network hardly depends on them, it would cut them off, and the error is not small.
4. Sites of *bridges*, where convolutions meet the transformer (`bridge`), stay quantised once they
   are calibrated: what comes later sees their error and makes up for it. All other sites return
   to floats until the end.
5. Biases are corrected once by the mean error that is left in each channel.

Departures from the paper: step 3; schemes are chosen at every site and not at bridges alone;
factors are tried coarsely first; sums over large maps are taken over some of their places
(`sample`); the weights of the Fisher form are explained in `workbench`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from buildext.learn.compress.criteria import FisherWeighted
from buildext.learn.compress.ir.graph import Slot
from buildext.learn.compress.methods.biases import add_to_biases, mean_error
from buildext.learn.compress.methods.mixed import WIDTHS, choose_widths
from buildext.learn.compress.methods.searched import all_choices
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.quantiser import Quantiser
from buildext.learn.compress.search import SiteSearch
from buildext.learn.compress.sites import Site
from buildext.learn.compress.work import site_macs
from buildext.learn.compress.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one site in one width.

    Attributes:
        quantisers: by slot.
        error: that is left.
        correction: of the bias, `(C,)`, if there is one.
    """

    quantisers: Mapping[Slot, Quantiser]
    error: float
    correction: torch.Tensor | None


def q_hyvit(bench: Workbench) -> Plan:
    """Quantise a hybrid network, or a convolutional one, which has no bridges."""
    found = search_widths(bench, (bench.bits,))
    return _plan(bench, {name: widths[bench.bits] for name, widths in found.items()})


def q_hyvit_mixed(bench: Workbench) -> Plan:
    """The same with eight or six bits for each site; see `mixed`."""
    found = search_widths(bench, WIDTHS)
    wide, narrow = WIDTHS
    errors = {name: (of[wide].error, of[narrow].error) for name, of in found.items()}
    macs = site_macs(bench.graph, bench.tile_px)
    bits = choose_widths(errors, macs, _bridged(bench))
    return _plan(bench, {name: of[bits[name]] for name, of in found.items()})


def search_widths(bench: Workbench, widths: Sequence[int]) -> dict[str, dict[int, Found]]:
    """Search all sites, each in several numbers of bits; bridges stay quantised in the first."""
    bridged = _bridged(bench)
    staying: dict[Slot, Quantiser] = {}
    result: dict[str, dict[int, Found]] = {}
    bench.progress.start("calibrating", len(bench.sites))
    for group in bench.segments(ends_of_runs(bench, bridged), sampled=True):
        samples = bench.sample(group, staying, fisher=True)
        for site in group:
            own = samples.pop(site.name)
            result[site.name] = {}
            for bits in widths:
                search = SiteSearch(own, FisherWeighted(), bits)
                result[site.name][bits] = _found(bench, site, search, staying)
            if site.name in bridged:
                staying.update(result[site.name][widths[0]].quantisers)
            bench.progress.advance()
    bench.progress.finish()
    return result


def _found(
    bench: Workbench, site: Site, search: SiteSearch, staying: Mapping[Slot, Quantiser]
) -> Found:
    """What the search finds, or whole ranges where the output is nearer with them."""
    choices = all_choices(bench, site)
    # The last way is the one with most freedom.
    whole = {position: search.start(position, ways[-1]) for position, ways in choices.items()}
    found, error = search.run(choices)

    def named(quantisers: Mapping[int, Quantiser]) -> dict[Slot, Quantiser]:
        return {(site.name, position): q for position, q in quantisers.items()}

    of_found, of_whole = (bench.divergence({**staying, **named(made)}) for made in (found, whole))
    if of_whole < of_found:
        found, error = whole, search.error(whole)
    return Found(named(found), error, mean_error(search.sample, found))


def _plan(bench: Workbench, chosen: Mapping[str, Found]) -> Plan:
    """All quantisers, and the biases corrected."""
    quantisers = {slot: q for found in chosen.values() for slot, q in found.quantisers.items()}
    corrections = {
        name: found.correction for name, found in chosen.items() if found.correction is not None
    }
    return Plan(add_to_biases(bench.graph, corrections), quantisers)


def _bridged(bench: Workbench) -> frozenset[str]:
    return frozenset(name for bridge in bench.bridges for name in bridge.sites)


def ends_of_runs(bench: Workbench, bridged: frozenset[str]) -> frozenset[str]:
    """The last site of each unbroken run of bridge sites: what follows must be seen anew."""
    names = [site.name for site in bench.sites]
    return frozenset(
        name
        for name, following in zip(names, [*names[1:], ""], strict=True)
        if name in bridged and following not in bridged
    )
