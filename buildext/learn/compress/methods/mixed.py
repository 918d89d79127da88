"""Mixed widths: eight bits where six would hurt.

Every site is searched in both widths. At first all have eight bits; then sites give up two of them,
those first that lose least by it for the work they do, until a multiply-accumulate has seven bits
on average. Sites of bridges keep eight: there hybrid networks lose most. No engine computes in six
bits, so this is a simulation of what such hardware would give.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

WIDTHS = (8, 6)
MEAN_BITS = 7.0


def choose_widths(
    errors: Mapping[str, tuple[float, float]],
    macs: Mapping[str, int],
    kept_wide: Collection[str] = (),
    mean_bits: float = MEAN_BITS,
) -> dict[str, int]:
    """The number of bits of each site.

    Args:
        errors: of each site in eight and in six bits; in one unit, as Fisher-weighted ones are.
        macs: of each site.
        kept_wide: sites that keep eight bits.
        mean_bits: to come down to, weighted by `macs`, if enough sites may give up bits.
    """
    wide, narrow = WIDTHS
    bits = dict.fromkeys(errors, wide)
    to_save = (wide - mean_bits) * sum(macs[name] for name in errors)
    willing = [name for name in errors if name not in kept_wide]
    willing.sort(key=lambda name: (errors[name][1] - errors[name][0]) / macs[name])
    for name in willing:
        if to_save <= 0:
            break
        bits[name] = narrow
        to_save -= (wide - narrow) * macs[name]
    return bits
