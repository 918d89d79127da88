"""The step from roof to footprint as two channels of a network.

Under an oblique view a roof is seen beside the place where its building stands. The step between
the two, roof to footprint, is a vector in the image: `x` metres along the columns, `y` metres down
the rows. A network predicts it at each pixel of a roof, in the channels `offset_x` and `offset_y`.

Everything between a network and a file carries shares from 0 to 1: sigmoids, blending, bytes. A
step therefore travels as a share of a declared range,

    share = 1/2 + metres / (2 range)          metres = range (2 share - 1)

0 for `range` metres to the left (up), 1/2 for no step, 1 for `range` metres to the right (down).
The code is affine, so the weighted mean of shares that the blending takes is the share of the
weighted mean of the steps. The range stands in the model card. What leans farther than it cannot
be said, and is not taught.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from buildext.models.card import OFFSET_CHANNELS

Values = TypeVar("Values", NDArray[np.float32], torch.Tensor)


def to_share(step_m: Values, range_m: float) -> Values:
    """Steps in metres as shares of the range; beyond it below 0 or above 1."""
    return 0.5 + step_m / (2 * range_m)


def to_metres(share: Values, range_m: float) -> Values:
    """Shares from 0 to 1 as steps in metres."""
    return range_m * (2 * share - 1)


def has_offset(channels: tuple[str, ...]) -> bool:
    """Whether a network with these output channels predicts the step."""
    return OFFSET_CHANNELS[0] in channels
