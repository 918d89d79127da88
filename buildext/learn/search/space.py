"""The space: from choices to networks.

A *genome* is one choice for each *parameter* of the space: kinds and decoders by name, ordered
things (widths, depths, numbers of blocks) by their place in the list, so that a generator which
knows of order can use it. Every parameter is always chosen. Some choices then have no say: the
fourth stage of a network of depth 4, the number of blocks of a tap, pooled queries where nothing
attends. So different genomes may be one network, and networks are told apart by their *key*, the
hash of the spec.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from buildext.learn.networks.encoders.searched_plan import (
    ATTENDING,
    TAP,
    WIDTH_STEP,
    SearchedPlan,
    StagePlan,
)
from buildext.learn.search.config import DecoderSpace, SpaceSection
from buildext.models.card import NetworkSpec

Genome = dict[str, int | str]
KEY_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Parameter:
    """One choice that a genome makes.

    Attributes:
        name: such as `stage2.width`.
        choices: as text, for people.
        ordered: whether neighbours in the list are alike; the genome then holds the place.
    """

    name: str
    choices: tuple[str, ...]
    ordered: bool

    def value(self, place: int) -> int | str:
        """What a genome holds for the choice at a place of the list."""
        return place if self.ordered else self.choices[place]

    def text(self, value: int | str) -> str:
        """What a value of a genome means."""
        return self.choices[int(value)] if self.ordered else str(value)


class Space:
    """All networks that a search may find.

    Args:
        section: of the config.
    """

    def __init__(self, section: SpaceSection) -> None:
        self._section = section
        self._decoders = {decoder.label: decoder for decoder in section.decoders}
        self.parameters = tuple(self._parameters())

    def draw(self, rng: np.random.Generator) -> Genome:
        """A genome at random, each choice as likely as the others."""
        return {p.name: p.value(int(rng.integers(len(p.choices)))) for p in self.parameters}

    def spec(self, genome: Genome) -> NetworkSpec:
        """The network of a genome.

        Raises:
            ModelError: a stage cannot be built so.
        """
        section = self._section
        depth = section.depths[int(genome["depth"])]
        stages = []
        for number in range(1, depth):
            space = section.stages[number - 1]
            kind = str(genome[f"stage{number}.kind"])
            pooled = space.pooled[int(genome[f"stage{number}.pooled"])]
            stages.append(
                StagePlan(
                    kind,
                    space.widths[int(genome[f"stage{number}.width"])],
                    0 if kind == TAP else space.blocks[int(genome[f"stage{number}.blocks"])],
                    pooled and kind in ATTENDING and number > 1,
                )
            )
        embed = section.condense[int(genome["condense"])] * stages[0].width
        half = section.half[int(genome["half"])]
        plan = SearchedPlan(half, WIDTH_STEP * round(embed / WIDTH_STEP), tuple(stages))
        decoder = self._decoders[str(genome["decoder"])]
        return with_decoder("searched", decoder, depth, plan.options())

    def meaning(self, genome: Genome) -> dict[str, str]:
        """The choices of a genome as text."""
        return {p.name: p.text(genome[p.name]) for p in self.parameters}

    def _parameters(self) -> list[Parameter]:
        section = self._section
        found = [
            _ordered("half", section.half),
            _ordered("condense", section.condense),
            _ordered("depth", section.depths),
        ]
        for number, stage in enumerate(section.stages, start=1):
            found += [
                Parameter(f"stage{number}.kind", stage.kinds, False),
                _ordered(f"stage{number}.width", stage.widths),
                _ordered(f"stage{number}.blocks", stage.blocks),
                _ordered(f"stage{number}.pooled", stage.pooled),
            ]
        return [*found, Parameter("decoder", tuple(self._decoders), False)]


def with_decoder(
    encoder: str, decoder: DecoderSpace, depth: int, options: Mapping[str, bool | int | float | str]
) -> NetworkSpec:
    """An encoder under a decoder of the space."""
    return NetworkSpec(
        encoder=encoder,
        encoder_options=dict(options),
        encoder_depth=depth,
        decoder=decoder.name,
        decoder_channels=decoder.widths_at(depth),
        head=decoder.head,
    )


def key_of(spec: NetworkSpec) -> str:
    """The name of a network: a hash of its spec."""
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def label_of(spec: NetworkSpec) -> str:
    """A network in one line, for people."""
    body = spec.encoder
    if spec.encoder_options:
        body = " | ".join(str(value) for value in spec.encoder_options.values())
    return f"{body} · {'-'.join([spec.decoder, *map(str, spec.decoder_channels)])}"


def difference(one: Genome, other: Genome) -> int:
    """In how many choices two genomes differ."""
    return sum(one[name] != other[name] for name in one)


def _ordered(name: str, choices: tuple[object, ...]) -> Parameter:
    return Parameter(name, tuple(f"{choice}" for choice in choices), True)
