"""References: what people designed, under the same constraints.

Each hand-designed encoder gets the dearest decoder of the space with which it keeps the
constraints: with less decoder than it might have it would be beaten for that alone. One that keeps
them with no decoder is measured with the cheapest, and not trained.
"""

from __future__ import annotations

from buildext.learn.search.candidate import Candidate
from buildext.learn.search.config import SearchConfig
from buildext.learn.search.inquisitor import Inquisitor
from buildext.learn.search.performance import Figures, indicator
from buildext.learn.search.space import with_decoder

DEPTH = 5


def find_reference(encoder: str, config: SearchConfig, inquisitor: Inquisitor) -> Candidate:
    """A hand-designed encoder with its decoder, measured.

    Raises:
        ModelError: there is no such encoder.
    """
    tries = [
        inquisitor.reference(with_decoder(encoder, decoder, DEPTH, {}))
        for decoder in config.space.decoders
    ]
    tries.sort(key=lambda candidate: -candidate.macs)
    cheapest = tries[-1]
    for candidate in tries:
        # What is too large needs no stopwatch.
        small = indicator(Figures(candidate.parameters, candidate.macs, 0.0), config.constraints)
        if small or candidate is cheapest:
            measured = inquisitor.measure(candidate)
            if measured.status == "open" or candidate is cheapest:
                return measured
    return cheapest
