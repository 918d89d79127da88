"""Tests of `buildext.learn.networks.encoders.efficientformer`."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from buildext.errors import ModelError
from buildext.learn.networks.encoders import efficientformer
from buildext.learn.networks.encoders.efficientformer import EfficientFormer
from buildext.learn.networks.encoders.position import relative_bias

from . import checks

# Millions of parameters and thousands of millions of MACs at 224, from the paper's table 1.
PAPER = {
    "efficientformer_l1": (12.3, 1.3),
    "efficientformer_l3": (31.3, 3.9),
    "efficientformer_l7": (82.1, 10.2),
}
OWN = {
    "efficientformer_l1": (12.29, 1291.3),
    "efficientformer_l3": (31.41, 3906.6),
    "efficientformer_l7": (82.23, 10119.3),
}


def without_derived(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: v for k, v in state.items() if not k.endswith(efficientformer.DERIVED_SUFFIXES)}


@pytest.mark.parametrize("name", efficientformer.VARIANTS)
def test_figures_of_the_paper(name: str) -> None:
    with torch.device("meta"):
        parameters, macs = checks.figures(efficientformer.classifier(name))
    assert parameters == pytest.approx(PAPER[name][0], rel=0.01)
    assert macs / 1e3 == pytest.approx(PAPER[name][1], rel=0.01)
    assert parameters == pytest.approx(OWN[name][0], abs=0.01)
    assert macs == pytest.approx(OWN[name][1], abs=0.1)


@pytest.mark.parametrize("name", efficientformer.VARIANTS)
def test_maps_at_any_size(name: str) -> None:
    with torch.device("meta"):
        encoder = efficientformer.build(name)
        checks.assert_maps(encoder, 96, 160)
        checks.assert_maps(encoder, 256, 32)


@pytest.mark.parametrize("depth", [3, 4])
def test_fewer_stages(depth: int) -> None:
    with torch.device("meta"):
        checks.assert_maps(efficientformer.build("efficientformer_l1", depth), 96, 160)


def test_no_dead_parameter() -> None:
    checks.assert_no_dead_parameter(efficientformer.build("efficientformer_l1"))


@pytest.mark.parametrize("name", ["efficientformer_l1", "efficientformer_l7"])
def test_timms_keys_are_ours(name: str) -> None:
    with torch.device("meta"):
        theirs = without_derived(timm.create_model(name).state_dict())
        assert set(efficientformer.classifier(name).state_dict()) == set(theirs)
        headless = {k for k in theirs if not k.startswith(efficientformer.HEAD_PREFIXES)}
        assert set(efficientformer.build(name).state_dict()) == headless


def test_timms_file_gives_timms_maps() -> None:
    reference = checks.scatter(timm.create_model("efficientformer_l1")).eval()
    ours = efficientformer.classifier("efficientformer_l1").eval()
    ours.load_state_dict(without_derived(reference.state_dict()), strict=True)
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        expected = reference.forward_intermediates(images, intermediates_only=True)
        maps = EfficientFormer.forward(ours, images)[2:]
        torch.testing.assert_close(ours(images), reference(images), atol=1e-4, rtol=1e-4)
    for got, want in zip(maps, expected, strict=True):
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_export(tmp_path: Path) -> None:
    checks.assert_same_when_exported(efficientformer.build("efficientformer_l1"), tmp_path)


def test_biases_at_the_tables_own_size_are_looked_up() -> None:
    table = torch.randn(2, 9)
    biases = relative_bias(table, 3, 3, 3).reshape(2, 3, 3, 3, 3)
    # The query at row 2, column 0 and the key at row 1, column 2 are 1 and 2 apart.
    torch.testing.assert_close(biases[:, 2, 0, 1, 2], table[:, 1 * 3 + 2])
    torch.testing.assert_close(biases[:, 1, 1, 1, 1], table[:, 0])


def test_biases_of_a_larger_map_are_stretched() -> None:
    table = torch.arange(9.0).reshape(1, 9)
    biases = relative_bias(table, 3, 5, 3).reshape(5, 3, 5, 3)
    # Five rows lie on the three of the table: four rows apart is two of the table's, one is half.
    assert biases[4, 0, 0, 2] == table[0, 2 * 3 + 2]
    assert biases[4, 0, 3, 0] == pytest.approx(0.5 * float(table[0, 3]))
    assert torch.equal(biases.diagonal(dim1=0, dim2=2)[0, 0], torch.zeros(5))


def test_every_second_key_may_be_a_query() -> None:
    table = torch.randn(2, 16)
    all_queries = relative_bias(table, 4, 6, 4).reshape(2, 6, 4, 24)
    every_second = relative_bias(table, 4, 6, 4, query_step=2).reshape(2, 3, 2, 24)
    assert torch.equal(all_queries[:, ::2, ::2], every_second)


def test_unknown_option() -> None:
    with pytest.raises(ModelError, match=r"'image_size'.*drop_path"):
        efficientformer.build("efficientformer_l1", image_size=224)
