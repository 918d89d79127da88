"""After RepQ-ViT (Li et al., ICCV 2023): scales for each channel after layer norms, moved away.

After a layer norm channels differ widely. Here each gets its own scale and zero point at first;
then the norm's own factor and shift, and the weights that come after, are changed so that one scale
and one zero point serve all channels (their equations 8 to 13):

    s' = mean(s), z' = mean(z), r1 = s / s', r2 = z - z'
    gamma' = gamma / r1, beta' = (beta + s * r2) / r1, W' = r1 * W, b' = b - W (s * r2)

The network computes the same as before. Attention has powers of the square root of two where the
target simulates them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from buildext.learn.compress.interval import interval_of
from buildext.learn.compress.ir.graph import Node, Slot
from buildext.learn.compress.methods.fq_vit import with_logarithms
from buildext.learn.compress.methods.observed import observed, tails_cut
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.quantiser import Quantiser, asymmetric
from buildext.learn.compress.sites import Site
from buildext.learn.compress.workbench import Workbench


def repq_vit(bench: Workbench) -> Plan:
    """Percentiles, with layer norms and the layers behind them reparametrised."""
    plan = observed(bench, tails_cut)
    graph = plan.graph.copy()
    constants = dict(graph.constants)
    quantisers: dict[Slot, Quantiser] = dict(plan.quantisers)
    consumers, sites = graph.consumers(), {site.name: site for site in bench.sites}
    for norm in graph.nodes:
        if norm.op != "LayerNormalization" or len(norm.inputs) < 3:
            continue
        users = consumers.get(norm.outputs[0], [])
        behind = [sites[n.name] for n in users if n.name in sites]
        biases = [_bias_after(graph.consumers(), constants, site) for site in behind]
        usable = [site.kind == "linear" for site in behind]
        if not users or len(behind) != len(users) or not all(usable) or not all(biases):
            continue
        _move(bench, norm, behind, [b for b in biases if b], constants, quantisers)
    graph.constants = constants
    return with_logarithms(bench, Plan(graph, quantisers), 2.0**0.5)


def _bias_after(
    consumers: dict[str, list[Node]], constants: dict[str, np.ndarray], site: Site
) -> tuple[Node, int] | None:
    """The addition of a constant that follows a product, and the constant's position in it."""
    users = consumers.get(site.output, [])
    if len(users) != 1 or users[0].op != "Add":
        return None
    position = next((k for k, name in enumerate(users[0].inputs) if name in constants), None)
    return None if position is None else (users[0], position)


def _move(
    bench: Workbench,
    norm: Node,
    behind: Sequence[Site],
    biases: Sequence[tuple[Node, int]],
    constants: dict[str, np.ndarray],
    quantisers: dict[Slot, Quantiser],
) -> None:
    """Change a norm, the weights behind it, and their quantisers."""
    seen = bench.observe(behind[:1])[behind[0].name]
    channels = interval_of([batch[0] for batch in seen.operands], -1)
    apart = asymmetric(channels.low, channels.high, bench.bits)
    scale, zero = apart.scale.double().cpu().numpy(), apart.zero.double().cpu().numpy()
    mean_scale, mean_zero = scale.mean(), np.round(zero.mean())
    ratio, shift = scale / mean_scale, scale * (zero - mean_zero)
    gamma, beta = (constants[name].astype(np.float64) for name in norm.inputs[1:3])
    # The norm's constants may serve another norm too: the changed ones get names of their own.
    names = [f"{norm.name}.scale", f"{norm.name}.shift"]
    constants[names[0]] = (gamma / ratio).astype(np.float32)
    constants[names[1]] = ((beta + shift) / ratio).astype(np.float32)
    norm.inputs = [norm.inputs[0], *names]
    common = asymmetric(
        torch.tensor(-mean_zero * mean_scale),
        torch.tensor((2**bench.bits - 1 - mean_zero) * mean_scale),
        bench.bits,
    )
    for site, (addition, position) in zip(behind, biases, strict=True):
        assert site.weight is not None
        node = bench.nodes[site.name]
        weight = constants[node.inputs[1]].astype(np.float64)
        along_inputs = weight if site.weight_axis == 1 else weight.T
        moved = shift @ along_inputs
        changed = along_inputs * ratio[:, None]
        changed = changed if site.weight_axis == 1 else changed.T
        name = f"{addition.name}.bias"
        old = constants[addition.inputs[position]].astype(np.float64)
        constants[name] = (old - moved).astype(np.float32)
        addition.inputs[position] = name
        constants[node.inputs[1]] = changed.astype(np.float32)
        quantisers[site.activations[0]] = common
        quantisers[site.weight] = interval_of(
            [torch.from_numpy(changed.astype(np.float32))], site.weight_axis
        ).quantiser(bench.target.weights("linear")[0], bench.bits)
