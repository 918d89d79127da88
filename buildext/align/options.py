"""How labels are aligned: one value, with the reasons for its numbers.

The defaults were chosen on scenes that play no part in the published figures; see
`docs/experiments/0002-label-alignment.md`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from buildext.errors import UsageError


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """What decides how labels are moved. Lengths are metres on the ground.

    Attributes:
        max_shift_m: no label moves farther.
        ring_share: width of the ring around a label in which no building is expected, as a share of
            the root of the label's area.
        step_m: shifts are tried at the whole number of pixels nearest to this; between them the
            place is interpolated.
        certainty: how much the evidence counts: nats for each unit of score, for a label of 100 m²;
            it grows with the root of the area. It sets how sure `confidence` is.
        support_m: distance, between middles of buildings, at which a neighbour's support has
            fallen to 1/√e; nothing farther than twice as far is asked.
        support_weight: how many independent witnesses all neighbours together are worth at most.
        agreement_m: how far the shifts of near neighbours differ as a rule (they share the error
            of registration and the direction of the lean, not the height).
        stray: share of neighbours whose shift tells nothing.
        rounds: how often neighbours are asked; each time they answer with what they learnt.
        doubt: factor on the odds of being right, for all that the belief knows nothing of; fitted.
        near_m: a label is right where it lies within this distance of its roof; `confidence` is the
            probability of that.
        sure: least confidence with which a label is moved.
        missing_below: a label is `missing` where the mean building probability inside stays below
            this in all places that its neighbours allow.
        allowed: nats below the neighbours' favourite down to which they allow a shift.
    """

    max_shift_m: float = 10.0
    ring_share: float = 0.12
    step_m: float = 0.25
    certainty: float = 25.0
    support_m: float = 25.0
    support_weight: float = 3.0
    agreement_m: float = 1.0
    stray: float = 0.2
    rounds: int = 2
    doubt: float = 0.35
    near_m: float = 1.0
    sure: float = 0.5
    missing_below: float = 0.25
    allowed: float = 6.0

    def __post_init__(self) -> None:
        if not 0 < self.max_shift_m <= 100:
            raise UsageError(
                f"got a largest shift of {self.max_shift_m:g} m; expected more than 0, at most 100"
            )

    def to_json(self) -> dict[str, Any]:
        """The options as plain values, for the output's metadata."""
        return asdict(self)
