"""Encoders by name.

A name is `tu-` and timm's own name of the architecture. Nothing is ever downloaded: weights come
from a file that the user names, or not at all.
"""

from __future__ import annotations

import difflib

from torch import nn

from buildext.errors import ModelError

PREFIX = "tu-"


def build_encoder(name: str, depth: int) -> tuple[nn.Module, list[int]]:
    """A randomly initialised encoder and the widths of its maps.

    Args:
        name: `tu-` followed by a timm architecture.
        depth: number of stages, each halving the resolution.

    Returns:
        A module that turns `(N, 3, H, W)` into `depth + 1` maps, the image first, and the number
        of channels of the others.

    Raises:
        ModelError: there is no such encoder.
    """
    import segmentation_models_pytorch as smp
    import timm

    timm_name = name.removeprefix(PREFIX)
    if not name.startswith(PREFIX) or not timm.is_model(timm_name):
        near = difflib.get_close_matches(timm_name, timm.list_models(), n=1)
        guess = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        raise ModelError(
            f"got the encoder {name!r}; expected {PREFIX}NAME with a timm architecture{guess}",
            hint="change `encoder` in the config or the model card",
        )
    encoder = smp.encoders.get_encoder(name, in_channels=3, depth=depth, weights=None)
    return encoder, list(encoder.out_channels[1:])
