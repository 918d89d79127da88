"""The study's figures: names beside points."""

from __future__ import annotations

from buildext.learn.study.plots import Point, draw_costs
from buildext.learn.study.ranking import ArmResult, Estimate


def point(label: str, score: float, millions: float) -> Point:
    arm = ArmResult(label, {}, {}, Estimate(score, None, 1), 1, "")
    return Point(arm, f"#{label}", millions * 1e6, None, None)


def test_names_that_would_meet_have_places_of_their_own() -> None:
    """Of two neighbours on the front the second is named on its other side."""
    close = [
        point("small", 0.5, 1.0),
        point("left-one", 0.700, 4.0),
        point("right-one", 0.701, 4.1),
    ]
    drawn = draw_costs(close, "building", "cost")
    assert all(f">{name}<" in drawn for name in ("small", "left-one", "right-one"))
    assert sorted(side(drawn, name) for name in ("left-one", "right-one")) == ["end", "start"]


def test_a_name_without_room_is_left_out() -> None:
    crowd = [point(f"network-{k}", 0.7 + k * 1e-4, 4.0 + k * 1e-3) for k in range(5)]
    drawn = draw_costs([*crowd, point("small", 0.5, 1.0)], "building", "cost")
    named = [k for k in range(5) if f">network-{k}<" in drawn]
    assert named == [3, 4]


def side(drawn: str, name: str) -> str:
    """The `text-anchor` of a text in an SVG."""
    element = drawn[: drawn.index(f">{name}<")].rpartition("<text")[2]
    return "end" if "text-anchor: end" in element else "start"
