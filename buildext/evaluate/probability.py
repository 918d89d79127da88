"""Probability: a raster of building probabilities, counted pixel by pixel against the truth.

The raster is brought onto the scored grid (nearest neighbour where the grids differ). Integers are
divided by the scale that the file states, or by 255; floats are taken as they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from buildext.errors import BandError, InputError
from buildext.evaluate.bootstrap import Counts
from buildext.evaluate.calibration import BINS, STEPS, bin_of, step_of
from buildext.evaluate.layers import Layer, PolygonLayer, windows_of
from buildext.evaluate.masks import open_raster
from buildext.evaluate.tally import Tiles


def count_pixels(
    path: Path, ref: Layer, tiles: Tiles, region: PolygonLayer | None
) -> tuple[NDArray[np.int64], Counts, int]:
    """Counts for `calibrate` of the pixels of a probability raster.

    Args:
        path: raster whose first band is the probability.
        ref: the true buildings.
        tiles: the scored tiles.
        region: polygons inside of which pixels count; None counts the whole frame.

    Returns:
        `(STEPS, 2)` histogram, `(T, BINS, 3)` counts, and the true pixels without a probability.

    Raises:
        InputError: values outside 0 to 1.
        BandError: a raster without a single band of numbers.
    """
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT
    from rasterio.windows import Window as RasterWindow

    frame = tiles.frame
    histogram = np.zeros((STEPS, 2), np.int64)
    counts = np.zeros((len(tiles), BINS, 3))
    missed = 0
    grid = {
        "crs": rasterio.crs.CRS.from_wkt(frame.crs.to_wkt()),
        "transform": frame.transform,
        "height": frame.height,
        "width": frame.width,
    }
    with open_raster(path) as source:
        kind = np.dtype(source.dtypes[0]).kind
        if kind not in "uif":
            raise BandError(f"{path} holds {source.dtypes[0]}; expected numbers")
        stated = source.scales[0]
        scale = stated if stated != 1 else 1.0 if kind == "f" else 1 / 255
        with WarpedVRT(source, resampling=Resampling.nearest, add_alpha=False, **grid) as warped:
            for window in windows_of(frame, tiles.side_px):
                where = RasterWindow(window.col, window.row, window.width, window.height)
                value = warped.read(1, window=where).astype(np.float64) * scale
                known = (warped.read_masks(1, window=where) > 0) & np.isfinite(value)
                truth = ref.read(window)
                if region is not None:
                    inside = region.read(window)
                    known, truth = known & inside, truth & inside
                missed += int((truth & ~known).sum())
                rows, cols = np.nonzero(known)
                p, right = value[rows, cols], truth[rows, cols]
                if len(p) and (p.min() < 0 or p.max() > 1 + 1e-6):
                    raise InputError(
                        f"{path} holds probabilities from {p.min():g} to {p.max():g}; "
                        "expected 0 to 1",
                        hint="give a float raster of 0 to 1, or an 8-bit one of 0 to 255",
                    )
                np.add.at(histogram, (step_of(p), right.astype(np.intp)), 1)
                numbers = tiles.of_window(window)
                tile = (rows // tiles.side_px) * numbers.shape[1] + cols // tiles.side_px
                place, size = tile * BINS + bin_of(p), numbers.size * BINS
                for k, weight in enumerate((None, p, right)):
                    found = np.bincount(place, weight, minlength=size)
                    counts[numbers.ravel(), :, k] = found.reshape(numbers.size, BINS)
    return histogram, counts, missed
