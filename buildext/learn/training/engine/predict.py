"""What a network sees in a whole scene, while it is being trained.

Tiles overlap, and of each only the middle is kept. The pipeline of `buildext extract` does this
better (blending, bounded memory), but needs files; here the scene lies in memory already and its
labels are to be moved, which half a pixel at a tile's border does not change.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from buildext.learn.training.config import SamplingSection
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.tiles.sampling import Placement, Pyramid

TILE_PX = 256
MARGIN_PX = 32


def middle_gsd_m(scene: LabelledScene, options: SamplingSection) -> float:
    """The middle of the resolutions that are learned, but no finer than the scene."""
    return max(math.sqrt(options.gsd_m[0] * options.gsd_m[1]), scene.gsd_m)


@torch.no_grad()
def predict_scene(sight: Sight, scene: LabelledScene, gsd_m: float) -> NDArray[np.float32]:
    """Probability of a building, `(H, W)` at `gsd_m` metres per pixel, from the scene's corner.

    Args:
        sight: put in evaluation mode here.
        scene: whose image is looked at; where it has no data the probability is 0.
        gsd_m: of the result.
    """
    sight.eval()
    device = sight.mean.device
    pyramid = Pyramid(scene)
    scale = gsd_m / scene.gsd_m
    height, width = (math.ceil(side / scale) for side in scene.labels.shape)
    result = np.zeros((height, width), np.float32)
    step = TILE_PX - 2 * MARGIN_PX
    for row in range(0, height, step):
        for col in range(0, width, step):
            centre = ((col + step / 2) * scale, (row + step / 2) * scale)
            tile = pyramid.cut(Placement(centre, 0.0, False, gsd_m), TILE_PX)
            if not tile.valid.any():
                continue
            image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(tile.image, -1, 0)))
            logits = sight(image[None].to(device))[0, 0]
            seen = torch.sigmoid(logits).cpu().numpy() * tile.valid
            middle = seen[MARGIN_PX : MARGIN_PX + step, MARGIN_PX : MARGIN_PX + step]
            part = result[row : row + step, col : col + step]
            part[...] = middle[: part.shape[0], : part.shape[1]]
    return result
