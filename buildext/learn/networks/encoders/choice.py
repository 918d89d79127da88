"""What every family of encoders checks before it builds: the variant, the depth, the options.

A family's file holds a table `VARIANTS` of frozen values by name; see `family`. Building
picks one of them; the three functions here refuse what is not there, and say what is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from buildext.errors import ModelError

V = TypeVar("V")

DEPTHS = (3, 4, 5)


def pick(variants: Mapping[str, V], name: str) -> V:
    """The variant called `name`.

    Raises:
        ModelError: the family has no such variant.
    """
    if name not in variants:
        raise ModelError(
            f"got the encoder {name!r}; expected one of {', '.join(variants)}",
            hint="change `encoder` in the config or the model card",
        )
    return variants[name]


def check_depth(depth: int) -> None:
    """Refuse a number of halvings other than 3, 4 or 5.

    Raises:
        ModelError: naming the depths that can be built.
    """
    if depth not in DEPTHS:
        raise ModelError(
            f"got the encoder depth {depth}; expected one of {', '.join(map(str, DEPTHS))}",
            hint="change the depth in the config or the model card",
        )


def check_options(name: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Refuse an option that the encoder does not know.

    Raises:
        ModelError: naming the option and the known ones.
    """
    known = tuple(known)
    for option in options:
        if option not in known:
            raise ModelError(
                f"got the option {option!r} for the encoder {name}; "
                f"expected {'one of ' + ', '.join(known) if known else 'none'}",
                hint="remove the option or correct its name",
            )
