"""All methods on one small hybrid network, under one protocol."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from buildext.engines.onnxruntime import OnnxRuntimeEngine
from buildext.engines.openvino import OpenVinoEngine
from buildext.engines.saturation import int8_saturates
from buildext.errors import UsageError
from buildext.learn.compress.agreement import MAX_MEAN
from buildext.learn.compress.bridge import find_bridges
from buildext.learn.compress.ir.graph import Graph
from buildext.learn.compress.libraries.nncf import quantise_with_nncf, use_unsigned_levels
from buildext.learn.compress.libraries.ort import quantise_with_onnxruntime
from buildext.learn.compress.methods.biases import add_to_biases
from buildext.learn.compress.methods.mixed import choose_widths
from buildext.learn.compress.methods.observed import tails_cut
from buildext.learn.compress.methods.origins import made_by
from buildext.learn.compress.methods.ptq4vit import twins
from buildext.learn.compress.methods.q_hyvit import ends_of_runs
from buildext.learn.compress.methods.table import METHODS
from buildext.learn.compress.plan import Plan, Simulation
from buildext.learn.compress.qdq import with_qdq
from buildext.learn.compress.quantise import Recipe, plan_for
from buildext.learn.compress.quantiser import Logarithmic, Twin, Uniform, symmetric
from buildext.learn.compress.sites import Kind, Site, find_sites
from buildext.learn.compress.target import TARGETS, TargetName
from buildext.learn.compress.workbench import Workbench

Planned = Callable[..., Plan]


def against(plan: Plan, graph: Graph, images: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of the quantised from the float map, in nats a pixel."""
    image = torch.from_numpy(images)
    before, after = Simulation(Plan(graph))(image), Simulation(plan)(image)
    return float(F.binary_cross_entropy(after, before) - F.binary_cross_entropy(before, before))


@pytest.fixture(scope="module")
def planned(hybrid: Graph, tiles: np.ndarray) -> Planned:
    """A plan by method, bits and target, made once."""

    @functools.cache
    def make(method: str, bits: int = 8, target: TargetName = "openvino") -> Plan:
        return plan_for(hybrid, tiles, Recipe(method, bits, target), 4)

    return make


@pytest.mark.parametrize("target", list(TARGETS))
@pytest.mark.parametrize("method", list(METHODS))
def test_eight_bits_are_close_and_every_slot_is_quantised(
    hybrid: Graph, planned: Planned, unseen: np.ndarray, method: str, target: TargetName
) -> None:
    plan = planned(method, 8, target)
    assert against(plan, hybrid, unseen) < 2e-3
    slots = {slot for site in find_sites(hybrid) for slot in site.activations}
    slots |= {site.weight for site in find_sites(hybrid) if site.weight}
    assert set(plan.quantisers) == slots
    assert all(q.bits == 8 for q in plan.quantisers.values())
    assert plan.is_uniform or target == "simulation"


def test_few_bits_show_who_is_better(hybrid: Graph, planned: Planned, unseen: np.ndarray) -> None:
    lost = {
        method: against(planned(method, 4), hybrid, unseen)
        for method in ("q-hyvit", "min-max", "percentile", "easyquant")
    }
    assert lost["q-hyvit"] < min(v for k, v in lost.items() if k != "q-hyvit"), lost


def test_the_target_decides_what_is_chosen(hybrid: Graph, planned: Planned) -> None:
    plan = planned("q-hyvit")
    for site in find_sites(hybrid):
        if site.weight is not None:
            weight = plan.quantisers[site.weight]
            assert isinstance(weight, Uniform)
            assert weight.signed
            assert weight.axis == site.weight_axis
        for slot in site.activations:
            made = plan.quantisers[slot]
            assert isinstance(made, Uniform)
            assert made.signed or site.kind != "attention"
            assert made.axis is None or site.kind == "depthwise"
    schemes = {q.signed for s, q in plan.quantisers.items() if isinstance(q, Uniform)}
    assert schemes == {True, False}


def test_what_targets_allow() -> None:
    def allowed(target: TargetName, kind: Kind, behind: str = "Relu") -> set[tuple[str, bool]]:
        site = Site("n", kind, (("n", 0),), ("n", 1), 0, 1, "y", behind=behind)
        return {(c.scheme, c.per_channel) for c in TARGETS[target].activations(site)}

    whole = {("symmetric", False), ("asymmetric", False)}
    assert allowed("openvino", "attention") == {("symmetric", False)}
    assert allowed("simulation", "attention") == whole
    for target in TARGETS:
        assert allowed(target, "convolution") == allowed(target, "grouped") == whole
        assert allowed(target, "depthwise") == {*whole, ("symmetric", True), ("asymmetric", True)}
    assert allowed("openvino", "depthwise", "Conv") == whole
    assert allowed("simulation", "depthwise", "Conv") == allowed("simulation", "depthwise")
    assert [c.scheme for c in TARGETS["openvino"].weights("linear")] == ["symmetric"]


def test_bridges_stay_quantised_for_what_follows(hybrid: Graph, tiles: np.ndarray) -> None:
    bench = Workbench(hybrid, tiles, 8, TARGETS["openvino"], stride_divisor=4)
    bridged = frozenset(name for bridge in bench.bridges for name in bridge.sites)
    ends = {name.removeprefix("/network/") for name in ends_of_runs(bench, bridged)}
    assert ends == {"layers/layers.0/qkv/MatMul", "fuse/Conv"}
    groups = list(bench.segments(ends_of_runs(bench, bridged)))
    assert [group[-1].name.removeprefix("/network/") for group in groups] == [
        "layers/layers.0/qkv/MatMul",
        "fuse/Conv",
        "last/Conv",
    ]
    last = bench.sites[-1]
    coarse = {("/network/widen/Conv", 0): symmetric(torch.tensor(0.5), 2)}
    plain, seen = bench.observe([last])[last.name], bench.observe([last], coarse)[last.name]
    assert not torch.equal(plain.outputs[0], seen.outputs[0])


def test_repq_moves_scales_without_changing_the_network(
    hybrid: Graph, planned: Planned, unseen: np.ndarray
) -> None:
    plan = planned("repq-vit")
    moved = [n for n in plan.graph.nodes if n.op == "LayerNormalization"]
    assert len(moved) == 4
    assert all(node.inputs[1].endswith(".scale") for node in moved)
    image = torch.from_numpy(unseen)
    before, after = Simulation(Plan(hybrid))(image), Simulation(Plan(plan.graph))(image)
    torch.testing.assert_close(after, before, atol=2e-5, rtol=0)


def test_attention_has_powers_or_twins_where_they_can_be_simulated(
    hybrid: Graph, planned: Planned
) -> None:
    for method, kind in (("fq-vit", Logarithmic), ("repq-vit", Logarithmic), ("ptq4vit", Twin)):
        plan = planned(method, 8, "simulation")
        uneven = {s for s, q in plan.quantisers.items() if isinstance(q, kind)}
        softmax = {s for s in plan.quantisers if made_by(hybrid, s) == "softmax"}
        assert len(softmax) == 2
        assert softmax <= uneven


def test_where_values_come_from(hybrid: Graph) -> None:
    origins = {
        slot[0].removeprefix("/network/"): made_by(hybrid, slot)
        for site in find_sites(hybrid)
        for slot in site.activations[-1:]
    }
    assert origins["layers/layers.0/qkv/MatMul"] == "layer norm"
    assert origins["layers/layers.0/fc2/MatMul"] == "gelu"
    assert origins["local/Conv"] == "silu"
    assert origins["fuse/Conv"] == "other"


def test_twins_share_bits_and_reach() -> None:
    ways = twins(symmetric(torch.tensor(1.0), 8), "softmax")
    assert all(float(w.coarse.limits()[1]) == pytest.approx(127 / 128) for w in ways)
    assert [float(w.coarse.scale / w.fine.scale) for w in ways] == [2.0**k for k in range(1, 9)]
    (gelu,) = twins(symmetric(torch.tensor(3.0), 8), "gelu")
    assert float(gelu.fine.limits()[0]) == pytest.approx(-0.17)


def test_percentiles_cut_both_tails() -> None:
    values = torch.linspace(0, 1, 100_001)
    values[0], values[-1] = -50.0, 90.0
    interval = tails_cut([values])
    assert (float(interval.low), float(interval.high)) == pytest.approx((1e-4, 1 - 1e-4), abs=1e-5)


def test_a_correction_moves_the_mean_of_a_channel(hybrid: Graph, unseen: np.ndarray) -> None:
    last = find_sites(hybrid)[-1]
    changed = add_to_biases(hybrid, {last.name: torch.tensor([0.5, -1.0])})
    image = torch.from_numpy(unseen)
    before = torch.logit(Simulation(Plan(hybrid))(image))
    after = torch.logit(Simulation(Plan(changed))(image))
    step = (after - before).mean((0, 2, 3))
    torch.testing.assert_close(step, torch.tensor([0.5, -1.0]), atol=1e-3, rtol=0)


def test_unknown_wishes_are_refused(hybrid: Graph, tiles: np.ndarray) -> None:
    with pytest.raises(UsageError, match="expected one of q-hyvit"):
        plan_for(hybrid, tiles, Recipe("magic", 8), 4)
    with pytest.raises(UsageError, match="got 9 bits"):
        plan_for(hybrid, tiles, Recipe("min-max", 9), 4)


def test_mixed_widths_save_where_it_costs_least() -> None:
    errors = {"a": (0.0, 9.0), "b": (1.0, 2.0), "c": (0.0, 0.5), "d": (0.0, 0.0)}
    macs = {"a": 100, "b": 100, "c": 10, "d": 190}
    # Half of 400 must give up two bits: c loses 0.05 for one, b 0.01, d nothing but is kept.
    assert choose_widths(errors, macs, ["d"]) == {"a": 6, "b": 6, "c": 6, "d": 8}
    assert choose_widths(errors, macs) == {"a": 8, "b": 6, "c": 8, "d": 6}
    assert choose_widths(errors, macs, mean_bits=8.0) == dict.fromkeys("abcd", 8)


def test_mixed_is_between_its_widths(hybrid: Graph, tiles: np.ndarray) -> None:
    recipe = Recipe("q-hyvit", "mixed")
    assert recipe.precision == "mixed (simulated)"
    plan = plan_for(hybrid, tiles, recipe, 4)
    bits = {slot[0]: q.bits for slot, q in plan.quantisers.items()}
    assert set(bits.values()) == {6, 8}
    (bridge,) = find_bridges(hybrid, 4)
    assert {bits[name] for name in bridge.sites} == {8}
    with_qdq(plan)
    with pytest.raises(UsageError, match="one width"):
        plan_for(hybrid, tiles, Recipe("min-max", "mixed"), 4)


def test_onnx_runtime_quantises_the_same_graph(
    hybrid: Graph, tiles: np.ndarray, unseen: np.ndarray, tmp_path: Path
) -> None:
    quantise_with_onnxruntime(hybrid, tiles, tmp_path / "model.onnx")
    check_library(hybrid, tmp_path, unseen)


@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="needs the extra quantize")
def test_nncf_quantises_the_same_graph(
    hybrid: Graph, tiles: np.ndarray, unseen: np.ndarray, tmp_path: Path
) -> None:
    quantise_with_nncf(hybrid, tiles, tmp_path / "model.onnx")
    check_library(hybrid, tmp_path, unseen)


def check_library(hybrid: Graph, folder: Path, unseen: np.ndarray) -> None:
    """One file, quantised, near the float network in both engines."""
    import onnx

    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    kinds = [node.op_type for node in onnx.load(str(folder / "model.onnx")).graph.node]
    assert kinds.count("QuantizeLinear") > 10
    wanted = Simulation(Plan(hybrid))(torch.from_numpy(unseen)).numpy()
    portable = OnnxRuntimeEngine(folder / "model.onnx", 32).infer(unseen)
    vino = OpenVinoEngine(folder / "model.onnx", 32, precision="f32").infer(unseen)
    assert np.abs(portable - wanted).mean() < 0.03
    # Sums that overflow are held to what `check_agreement` lets pass.
    assert np.abs(vino - portable).mean() < (MAX_MEAN if int8_saturates() else MAX_MEAN / 3)


def test_signed_levels_become_unsigned_but_for_attention(hybrid: Graph, tiles: np.ndarray) -> None:
    def zeros(graph: Graph) -> dict[str, np.ndarray]:
        quantisers = (n for n in graph.nodes if n.op in ("QuantizeLinear", "DequantizeLinear"))
        return {node.name: graph.constants[node.inputs[2]] for node in quantisers}

    graph = with_qdq(plan_for(hybrid, tiles, Recipe("easyquant", 8), 4))
    wanted = zeros(graph)
    assert {zero.dtype for zero in wanted.values()} == {np.dtype(np.uint8), np.dtype(np.int8)}
    for name, zero in graph.constants.items():
        if zero.dtype == np.uint8:
            graph.constants[name] = (zero.astype(np.int16) - 128).astype(np.int8)
    use_unsigned_levels(graph)
    found = zeros(graph)
    assert {k: (v.dtype, v.tolist()) for k, v in found.items()} == {
        k: (v.dtype, v.tolist()) for k, v in wanted.items()
    }
