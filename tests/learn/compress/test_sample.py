"""Samples of sites: the same numbers as the whole operation, from a few of its places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from buildext.learn.compress import sample
from buildext.learn.compress.ir.graph import Graph, Node
from buildext.learn.compress.ir.operators import compute
from buildext.learn.compress.matrices import as_matrices
from buildext.learn.compress.methods.biases import mean_error
from buildext.learn.compress.patches import as_product, by_group, cut_patches
from buildext.learn.compress.quantiser import symmetric
from buildext.learn.compress.sample import draw_places
from buildext.learn.compress.target import TARGETS
from buildext.learn.compress.workbench import Workbench


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


CONVOLUTIONS = [
    ("Conv", (6, 4, 3, 3), {}),
    ("Conv", (6, 4, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", (6, 4, 3, 3), {"pads": [0, 1, 2, 1], "strides": [2, 1]}),
    ("Conv", (6, 4, 3, 2), {"pads": [2, 2, 2, 2], "dilations": [2, 3]}),
    ("Conv", (6, 2, 3, 3), {"pads": [1, 1, 1, 1], "group": 2}),
    ("Conv", (4, 1, 5, 5), {"pads": [2, 2, 2, 2], "group": 4}),
    ("ConvTranspose", (4, 6, 2, 2), {"strides": [2, 2]}),
    ("ConvTranspose", (4, 6, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    (
        "ConvTranspose",
        (4, 6, 3, 3),
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
]


@pytest.mark.parametrize(("op", "shape", "attributes"), CONVOLUTIONS)
def test_patches_make_the_outputs_of_a_convolution(
    op: str, shape: tuple[int, ...], attributes: dict[str, object]
) -> None:
    node = Node("one", op, ["image", "weight"], ["made"], attributes)
    image, weight = drawn(0, 2, 4, 9, 8), drawn(1, *shape)
    (whole,) = compute(op, [image, weight], attributes)
    places = torch.tensor([0, 3, 17, 25, whole[:, 0].numel() - 1])
    patches = cut_patches(image, node, shape[2:], whole.shape[2:], places)
    made = by_group(patches, int(attributes.get("group", 1))) @ as_product(weight, node)
    wanted = whole.movedim(1, -1).flatten(0, 2)[places]
    torch.testing.assert_close(made.transpose(0, 1).flatten(1), wanted, atol=1e-5, rtol=1e-5)


def test_einsum_is_a_stack_of_products() -> None:
    first, second = drawn(0, 2, 5, 3, 4), drawn(1, 2, 7, 3, 4)
    node = Node("one", "Einsum", ["a", "b"], ["c"], {"equation": "bqhd,bkhd -> bhqk"})
    whole = torch.einsum("bqhd,bkhd->bhqk", first, second)
    left, right, made = as_matrices(node, first, second, whole)
    assert made.shape == (6, 5, 7)
    torch.testing.assert_close(left @ right, made)


def test_a_product_is_spread_over_its_stack() -> None:
    first, second = drawn(0, 2, 3, 5, 4), drawn(1, 4, 6)
    node = Node("one", "MatMul", ["a", "b"], ["c"], {})
    left, right, made = as_matrices(node, first, second, first @ second)
    torch.testing.assert_close(left @ right, made)


def test_samples_make_what_sites_make(hybrid: Graph, tiles: np.ndarray) -> None:
    bench = Workbench(hybrid, tiles, 8, TARGETS["openvino"], stride_divisor=4)
    whole, few = bench.observe(bench.sites), bench.sample(bench.sites, fisher=True)
    for site in bench.sites:
        one = few[site.name]
        made = one.make(one.operand(0), one.operand(1))
        torch.testing.assert_close(made, one.wanted, atol=1e-4, rtol=1e-4)
        assert one.fisher is not None
        assert one.fisher.shape == one.wanted.shape
        low, high = torch.cat([b[0].flatten() for b in whole[site.name].operands]).aminmax()
        assert (one.ranges[0, False].low, one.ranges[0, False].high) == (low, high)
        assert ((0, True) in one.ranges) == (site.kind == "depthwise")


def test_places_are_all_taken_where_they_are_few() -> None:
    places, stands_for = draw_places(5, torch.ones(5), 5, torch.Generator())
    assert places.tolist() == [0, 1, 2, 3, 4]
    assert stands_for.tolist() == [1.0] * 5


def test_a_draw_does_not_move_sums_and_prefers_what_weighs() -> None:
    generator = torch.Generator().manual_seed(0)
    mass = torch.rand(20_000, generator=generator) ** 30
    values = mass * (1 + torch.rand(20_000, generator=generator))
    wanted = float(values.sum())
    off: dict[bool, list[float]] = {True: [], False: []}
    for weighted in off:
        for _ in range(40):
            places, stands_for = draw_places(20_000, mass if weighted else None, 400, generator)
            assert len(places) == 400
            off[weighted].append(float((values[places] * stands_for).sum()) / wanted - 1)
    # The mean of many draws is the sum itself; single draws are far nearer to it by mass.
    assert abs(np.mean(off[True])) < 0.02
    assert np.std(off[True]) < 0.05 < 0.2 < np.std(off[False])


def test_no_mass_is_an_even_draw() -> None:
    places, stands_for = draw_places(1000, torch.zeros(1000), 10, torch.Generator().manual_seed(0))
    assert stands_for.tolist() == pytest.approx([100.0] * 10)
    assert torch.equal(places // 100, torch.arange(10))


def test_fewer_places_where_each_is_made_of_many_numbers(
    hybrid: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Workbench(hybrid, np.zeros((8, 3, 64, 64), np.uint8), 8, TARGETS["openvino"])
    (head,) = (s for s in bench.sites if s.name.endswith("head/Conv"))
    counts = []
    for numbers in (10**9, 16 * 9 * 3000, 1):
        monkeypatch.setattr(sample, "NUMBERS", numbers)
        counts.append(bench.sample([head])[head.name].first.shape[1])
    assert counts == [4096, 3000, 1024]


def test_attention_keeps_some_rows_of_some_matrices(
    hybrid: Graph, monkeypatch: pytest.MonkeyPatch, tiles: np.ndarray
) -> None:
    monkeypatch.setattr(sample, "MATRICES", 1)
    monkeypatch.setattr(sample, "ROWS", 10)
    bench = Workbench(hybrid, tiles, 8, TARGETS["openvino"])
    site = next(s for s in bench.sites if s.kind == "attention")
    one = bench.sample([site], fisher=True)[site.name]
    # Four tiles with two heads and 64 places: four of eight matrices, ten rows of each.
    assert one.wanted.shape == (4, 10, 64)
    assert one.stands_for.tolist() == pytest.approx([2 * 6.4] * 10)


def test_the_mean_error_is_that_of_all_places(hybrid: Graph, tiles: np.ndarray) -> None:
    bench = Workbench(hybrid, np.tile(tiles, (4, 1, 1, 1)), 8, TARGETS["openvino"])
    (site,) = (s for s in bench.sites if s.name.endswith("stem/stem.0/Conv"))
    coarse = symmetric(bench.weight(site).abs().amax(), 3)
    seen = bench.observe([site])[site.name]
    bias = bench.runner.constants[bench.nodes[site.name].inputs[2]]
    short = torch.cat(
        [
            made - F.conv2d(batch[0], coarse.fake(batch[1]), bias, 2, 1)
            for batch, made in zip(seen.operands, seen.outputs, strict=True)
        ]
    )
    found = mean_error(bench.sample([site])[site.name], {1: coarse})
    assert found is not None
    torch.testing.assert_close(found, short.mean((0, 2, 3)), atol=1e-4, rtol=1e-3)
