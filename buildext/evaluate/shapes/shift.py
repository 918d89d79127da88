"""Shift: how far a prediction lies from the building it matches.

The step from the centroid of the true polygon to that of the predicted one. Averaged as a vector it
shows a displacement common to all (a scene out of place); averaged as a length, the error of one
building. Where the true layer holds footprints and the prediction roofs, it is the lean itself.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray


def centroid_shift_m(pred: NDArray[np.object_], ref: NDArray[np.object_]) -> NDArray[np.float64]:
    """Step from true to predicted centroids, `(n, 2)` along the axes of the plane, in metres."""
    steps: NDArray[np.float64] = shapely.get_coordinates(
        shapely.centroid(pred)
    ) - shapely.get_coordinates(shapely.centroid(ref))
    return steps
