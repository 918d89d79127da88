"""A plan from interval searches site by site, the network otherwise in floats."""

from __future__ import annotations

from buildext.learn.compress.criteria import Cosine, Criterion
from buildext.learn.compress.ir.graph import Slot
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.quantiser import Quantiser
from buildext.learn.compress.search import SiteSearch
from buildext.learn.compress.sites import Site
from buildext.learn.compress.target import Choice
from buildext.learn.compress.workbench import Workbench


def first_choices(bench: Workbench, site: Site) -> dict[int, tuple[Choice, ...]]:
    """For each operand the plainest way alone: symmetric, one scale for a whole activation."""
    choices = {slot[1]: bench.target.activations(site)[:1] for slot in site.activations}
    if site.weight is not None:
        choices[site.weight[1]] = bench.target.weights(site.kind)[:1]
    return choices


def all_choices(bench: Workbench, site: Site) -> dict[int, tuple[Choice, ...]]:
    """For each operand all ways that the target runs."""
    choices = {slot[1]: bench.target.activations(site) for slot in site.activations}
    if site.weight is not None:
        choices[site.weight[1]] = bench.target.weights(site.kind)
    return choices


def search_plainly(bench: Workbench, criterion: Criterion) -> dict[Slot, Quantiser]:
    """Symmetric quantisers of all sites by one criterion."""
    quantisers: dict[Slot, Quantiser] = {}
    bench.progress.start("calibrating", len(bench.sites))
    for group in bench.segments(sampled=True):
        samples = bench.sample(group, fisher=criterion.needs_fisher)
        for site in group:
            search = SiteSearch(samples.pop(site.name), criterion, bench.bits)
            found, _ = search.run(first_choices(bench, site))
            quantisers.update({(site.name, position): q for position, q in found.items()})
            bench.progress.advance()
    bench.progress.finish()
    return quantisers


def easy_quant(bench: Workbench) -> Plan:
    """EasyQuant: the cosine between outputs, weights and activations in turns.

    Wu et al., arXiv 2006.16669. Symmetric, as there.
    """
    return Plan(bench.graph, search_plainly(bench, Cosine()))
