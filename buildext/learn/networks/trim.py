"""Takes out of an encoder what lies behind its last map.

Asked for fewer stages than an architecture has, timm and smp often build all of them and run or
carry the rest for nothing: three quarters of EfficientNetV2-B0's weights lie in its last stage.
What takes part is found by asking: a parameter that the maps depend on has a gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


class Nothing(nn.Module):
    """Stands where a layer was taken out; some encoders still call it."""

    def forward(self, image: torch.Tensor, *_: object) -> torch.Tensor:
        """The image as it came; what else a layer may be told has no meaning here."""
        return image


def trim(encoder: nn.Module, side_px: int) -> None:
    """Replace every layer that no map depends on by nothing.

    What was taken out stands in the encoder's `unused_prefixes` afterwards, so that weights of the
    whole architecture can still be loaded.

    Args:
        encoder: gives a list of maps; see `registry`.
        side_px: of an image that it takes.
    """
    was_training = encoder.training
    encoder.eval()
    with torch.enable_grad():
        maps = encoder(torch.zeros(1, 3, side_px, side_px))
        sum(one.sum() for one in maps[1:]).backward()
    encoder.train(was_training)
    dead = {name for name, parameter in encoder.named_parameters() if parameter.grad is None}
    encoder.zero_grad(set_to_none=True)
    removed = list(_roots(encoder, dead, ""))
    for name in removed:
        parent, _, child = name.rpartition(".")
        setattr(encoder.get_submodule(parent), child, Nothing())
    before: tuple[str, ...] = getattr(encoder, "unused_prefixes", ())
    # Weights may be keyed from the encoder or from its body, timm's own module.
    names = [key for name in removed for key in (name, name.removeprefix("model."))]
    prefixes: Any = (*before, *(f"{name}." for name in dict.fromkeys(names)))
    encoder.unused_prefixes = prefixes


def _roots(module: nn.Module, dead: set[str], prefix: str) -> Iterator[str]:
    """The outermost modules all of whose parameters are dead."""
    for name, child in module.named_children():
        whole = f"{prefix}{name}"
        own = {f"{whole}.{key}" for key, _ in child.named_parameters()}
        if own and own <= dead:
            yield whole
        else:
            yield from _roots(child, dead, f"{whole}.")
