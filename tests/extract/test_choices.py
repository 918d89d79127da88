"""What an option leaves open, the model's card decides."""

from __future__ import annotations

import pytest

from buildext.extract.choices import second_tile_px
from buildext.extract.options import ExtractOptions
from buildext.models.card import Card
from buildext.models.store import load_model


@pytest.fixture
def card() -> Card:
    return load_model("default").card


@pytest.mark.parametrize(
    ("wanted", "gsd_m", "side_px"),
    [
        (None, 0.12, 0),
        (1.0, 0.12, 0),
        (1.6, 0.12, 480),
        (2.0, 0.12, 384),
        # A whole number of the network's strides, rather finer than asked for.
        (1.5, 0.12, 512),
        (1.7, 0.12, 480),
        # No coarser than the 0.65 m that the network was trained on; not at nearly one scale.
        (1.6, 0.40, 480),
        (1.6, 0.41, 0),
        (1.02, 0.12, 0),
    ],
)
def test_the_second_look(card: Card, wanted: float | None, gsd_m: float, side_px: int) -> None:
    assert second_tile_px(card, ExtractOptions(second_scale=wanted), gsd_m) == side_px


def test_a_card_may_ask_for_it_and_an_option_refuse(card: Card) -> None:
    twice = card.model_copy(update={"second_scale": 2.0})
    assert second_tile_px(twice, ExtractOptions(), 0.12) == 384
    assert second_tile_px(twice, ExtractOptions(second_scale=1.0), 0.12) == 0
    assert second_tile_px(twice, ExtractOptions(tile_px=512), 0.12) == 256
