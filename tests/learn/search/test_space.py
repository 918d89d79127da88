"""Genomes, networks and the work that these are."""

from __future__ import annotations

import numpy as np
import pytest

from buildext.learn.networks.build import build_network
from buildext.learn.networks.macs import count_macs, count_parameters
from buildext.learn.search.config import DecoderSpace, SpaceSection, StageSpace
from buildext.learn.search.space import Space, difference, key_of, label_of, with_decoder
from buildext.learn.search.work import sketch
from buildext.models.card import NetworkSpec

DEFAULT = Space(SpaceSection())


def plain(**choices: int | str) -> dict[str, int | str]:
    genome = {p.name: p.value(0) for p in DEFAULT.parameters}
    assert set(choices) <= set(genome)
    return {**genome, **choices}


def test_a_genome_says_what_the_network_is() -> None:
    genome = plain(
        **{
            "depth": 1,
            "condense": 2,
            "stage1.kind": "mask",
            "stage2.kind": "mask",
            "stage2.pooled": 1,
            "stage3.kind": "single",
            "stage3.width": 2,
            "stage3.blocks": 3,
            "stage4.kind": "global",
        }
    )
    spec = DEFAULT.spec(genome)
    assert spec.encoder_options == {
        "stem": "8 32",
        "stage1": "mask 16 x1",
        "stage2": "mask 32 x1 pooled",
        "stage3": "single 128 x6",
        "stage4": "global 96 x1",
    }
    assert label_of(spec).endswith("global 96 x1 · unet-32-24-16-12")
    assert DEFAULT.meaning(genome)["stage3.width"] == "128"


def test_choices_without_a_say_do_not_make_another_network() -> None:
    shallow = key_of(DEFAULT.spec(plain()))
    assert key_of(DEFAULT.spec(plain(**{"stage4.kind": "single", "stage4.width": 3}))) == shallow
    assert key_of(DEFAULT.spec(plain(**{"stage1.blocks": 1}))) == shallow
    assert key_of(DEFAULT.spec(plain(**{"stage2.pooled": 1}))) == shallow
    assert key_of(DEFAULT.spec(plain(**{"stage2.width": 1}))) != shallow
    assert difference(plain(), plain(**{"stage2.width": 1, "depth": 1})) == 2


def test_a_shallow_encoder_has_one_decoder_width_less() -> None:
    decoder = DecoderSpace(name="unet", widths=(64, 48, 32, 16), head="subpixel")
    assert with_decoder("searched", decoder, 5, {}).decoder_channels == (64, 48, 32, 16)
    assert with_decoder("searched", decoder, 4, {}).decoder_channels == (48, 32, 16)
    for name, widths in (("linknet", ()), ("fpn", (48, 32))):
        same = DecoderSpace(name=name, widths=widths, head="conv")
        assert with_decoder("searched", same, 4, {}).decoder_channels == widths


def test_drawn_networks_are_built_and_all_their_work_is_told_apart() -> None:
    """No operation is forgotten or counted twice: the kinds add up to the whole."""
    rng = np.random.default_rng(3)
    kinds = set()
    for _ in range(4):
        spec = DEFAULT.spec(DEFAULT.draw(rng))
        counted = sketch(spec, 128)
        total = sum(work.dense + work.product for work in counted.works.values())
        assert total == counted.macs
        kinds |= set(counted.works)
    assert {"stem", "shrink"} < kinds and len(kinds) > 5


def test_a_sketch_is_what_the_real_network_has() -> None:
    spec = DEFAULT.spec(DEFAULT.draw(np.random.default_rng(1)))
    network = build_network(spec, ("building",))
    counted = sketch(spec, 64)
    assert counted.parameters == count_parameters(network)
    assert counted.macs == count_macs(network, 64, 64)
    assert sketch(NetworkSpec(encoder="tu-test_efficientnet"), 64).works == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stages": (StageSpace(kinds=("mask",), widths=(16,)),)}, "expected 4 stages"),
        ({"depths": (3,), "stages": (StageSpace(kinds=("conv",), widths=(16,)),) * 2}, "expected"),
        ({"decoders": ()}, "one choice at least"),
        ({"decoders": (DecoderSpace(name="unet", widths=(8,)),)}, "expected 5, or none"),
        ({"decoders": (DecoderSpace(name="onet"),)}, "got the decoder 'onet'"),
    ],
)
def test_a_space_that_cannot_be_built_is_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SpaceSection(**change)  # type: ignore[arg-type]
