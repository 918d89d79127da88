"""A family of encoders: its variants by name, and how one of them is built.

A family's file ends in

    FAMILY = Family(VARIANTS, Encoder, Classifier, OPTIONS)
    build, classifier = FAMILY.build, FAMILY.classifier

which is what the registry and the comparison with the papers' tables ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from buildext.learn.networks.encoders.choice import check_depth, check_options, pick

V = TypeVar("V")
Encoder = TypeVar("Encoder")
Classifier = TypeVar("Classifier")


@dataclass(frozen=True, slots=True)
class Family(Generic[V, Encoder, Classifier]):
    """What a family of encoders is made of.

    Attributes:
        variants: by name.
        encoder: from a variant, a depth and options.
        whole: the ImageNet classifier of a variant.
        options: names of the encoder's options.
    """

    variants: Mapping[str, V]
    encoder: Callable[..., Encoder]
    whole: Callable[[V], Classifier]
    options: tuple[str, ...] = ()

    def build(self, name: str, depth: int = 5, **options: Any) -> Encoder:
        """The encoder `name` with random weights.

        Raises:
            ModelError: the name, the depth or an option is unknown.
        """
        variant = pick(self.variants, name)
        check_depth(depth)
        check_options(name, options, self.options)
        return self.encoder(variant, depth, **options)

    def classifier(self, name: str) -> Classifier:
        """The ImageNet classifier whose body is the encoder `name`.

        Raises:
            ModelError: the name is unknown.
        """
        return self.whole(pick(self.variants, name))
