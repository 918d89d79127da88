"""A covering subset of `make matrix`: every kind of encoder once, every decoder three times.

Decoders are narrow here; their own widths are tried by `make matrix`.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

import pytest
import torch

from benchmarks.pairs import check_pair
from buildext.learn.networks.decoders.table import DECODERS
from buildext.models.card import NetworkSpec

# Each line is an encoder whose layers are unlike the others', and the decoders it is tried under.
PAIRS = {
    "tu-test_efficientnet": ("unet", "unetplusplus", "linknet", "pspnet", "deeplabv3plus", "pan"),
    "tu-mobilevit_xxs": ("segformer",),
    "tu-mobilevitv2_050": ("linknet",),
    "tu-fasternet_t0": ("unet", "manet", "fpn"),
    "tu-repghostnet_050": ("segformer", "unet3plus"),
    "tu-skresnet18": ("pspnet",),
    "tu-efficientvit_b0": ("deeplabv3plus",),
    "tu-starnet_s1": ("pan",),
    "tu-mnasnet_small": ("manet", "upernet"),
    "resnet18": ("pan", "unet3plus"),
    "mit_b0": ("unetplusplus",),
    "efficientvit_m0": ("fpn",),
    "shvit_s1": ("upernet", "pspnet"),
    "efficientmod_xxs": ("linknet",),
    "hiera_tiny": ("segformer",),
    "efficientformerv2_s0": ("deeplabv3plus",),
    "mobile_former_26m": ("unet",),
}


def narrow(encoder: str, decoder: str, head: Literal["conv", "subpixel"]) -> NetworkSpec:
    count = DECODERS[decoder].count(5, head == "subpixel")
    return NetworkSpec(encoder=encoder, decoder=decoder, decoder_channels=(32,) * count, head=head)


class TestPairs:
    """The base class of all pairs: whatever is added to the table above goes through this."""

    @pytest.fixture(autouse=True)
    def _one_thread(self):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    @pytest.mark.parametrize(
        ("encoder", "decoder"),
        [(encoder, decoder) for encoder, decoders in PAIRS.items() for decoder in decoders],
    )
    def test_a_pair_learns_and_is_exported(self, encoder: str, decoder: str) -> None:
        report = check_pair(narrow(encoder, decoder, "conv"))
        assert report.parameters > 0
        assert report.macs > 0

    @pytest.mark.parametrize("decoder", DECODERS)
    def test_every_decoder_takes_a_subpixel_head(self, decoder: str) -> None:
        check_pair(narrow("tu-test_efficientnet", decoder, "subpixel"))


def test_every_decoder_is_tried_three_times() -> None:
    tried = Counter(decoder for decoders in PAIRS.values() for decoder in decoders)
    # Once more with the sub-pixel head.
    assert min(tried[decoder] for decoder in DECODERS) >= 2
