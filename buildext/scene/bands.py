"""Which bands of a raster are the model's colours, and which one is the mask.

A colour interpretation, where the file has one, says which band is red, green, blue or alpha,
wherever it stands. Alpha is never a colour. A panchromatic band is repeated; two bands without a
choice are ambiguous and refused; a palette is expanded to the colours it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rasterio.enums import ColorInterp

from buildext.errors import BandError

if TYPE_CHECKING:
    from rasterio import DatasetReader

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_HINT = "choose with --bands, for example --bands 1,2,3 or --bands 1"


@dataclass(frozen=True, slots=True)
class BandChoice:
    """Colours and mask band of one file, 1-based.

    Attributes:
        colours: bands to read, one (to be repeated) or as many as the model takes.
        alpha: band of the alpha channel, or None.
        palette: whether the only colour band holds palette indices.
    """

    colours: tuple[int, ...]
    alpha: int | None
    palette: bool


def choose_bands(dataset: DatasetReader, wanted: tuple[int, ...] | None, count: int) -> BandChoice:
    """Choose the colour bands of `dataset` for a model of `count` bands.

    Raises:
        BandError: no unambiguous choice, or `wanted` does not fit the file.
    """
    interpretation = dataset.colorinterp
    alphas = [i for i, c in enumerate(interpretation, 1) if c == ColorInterp.alpha]
    alpha = alphas[-1] if alphas else None
    colours = [i for i in dataset.indexes if i not in alphas]
    if wanted is not None:
        _check_wanted(dataset, wanted, count, colours)
        chosen = wanted
    elif len(colours) == 1 or count == 1:
        chosen = tuple(colours[:1])
    elif count == 3 and all(c in interpretation for c in _RGB):
        chosen = tuple(interpretation.index(c) + 1 for c in _RGB)
    elif len(colours) >= count:
        chosen = tuple(colours[:count])
    else:
        raise BandError(
            f"{dataset.name}: {len(colours)} colour bands ({describe(dataset)}); "
            f"expected 1 or at least {count}",
            hint=_HINT,
        )
    if not chosen:
        raise BandError(f"{dataset.name}: no colour band ({describe(dataset)}); expected one")
    palette = len(chosen) == 1 and interpretation[chosen[0] - 1] == ColorInterp.palette
    return BandChoice(chosen, alpha, palette)


def describe(dataset: DatasetReader) -> str:
    """The bands of a file in words: `1 red, 2 green, 3 near infrared`."""
    names = (
        text or interpretation.name
        for text, interpretation in zip(dataset.descriptions, dataset.colorinterp, strict=True)
    )
    return ", ".join(f"{i} {name}" for i, name in enumerate(names, 1))


def _check_wanted(
    dataset: DatasetReader, wanted: tuple[int, ...], count: int, colours: list[int]
) -> None:
    if len(wanted) not in {1, count}:
        raise BandError(f"{len(wanted)} bands chosen; expected 1 or {count}", hint=_HINT)
    bad = [b for b in wanted if b not in colours]
    if bad:
        raise BandError(
            f"{dataset.name}: band {bad[0]} chosen; expected colour bands of this file "
            f"({describe(dataset)})",
            hint=_HINT,
        )
