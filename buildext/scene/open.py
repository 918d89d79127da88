"""Opening a scene: from paths and options to a `Scene` that is ready to be read."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from buildext.scene.access import gdal, list_rasters
from buildext.scene.gsd import is_square, pixel_size_m, target_gsd_m
from buildext.scene.options import SceneOptions
from buildext.scene.placing import place
from buildext.scene.plane import Plane
from buildext.scene.resample import Resampler
from buildext.scene.sampling import take_sample
from buildext.scene.scaling import choose_stretch, warn_if_unusual
from buildext.scene.scene import Scene
from buildext.scene.source import inspect

log = logging.getLogger(__name__)


def open_scene(paths: Sequence[Path | str], options: SceneOptions) -> Scene:
    """Open files, folders or both as one scene.

    Args:
        paths: rasters and folders of rasters; where they overlap, the first valid pixel counts.
        options: what the model needs and what the user asked for.

    Raises:
        MissingInputError: a path does not exist or a folder holds no raster.
        SceneError: a file is not a raster, damaged, complex, remote, or does not fit the others.
        NoCrsError: a file has no CRS or geotransform and pixel units were not asked for.
        BandError: the bands of a file do not fit.
        NoValidPixelError: there is no valid pixel in the whole scene.
    """
    names = list_rasters(paths, options.allow_remote)
    with gdal(options.allow_remote):
        sources = [inspect(name, options) for name in names]
        plane = place(sources, options)
    try:
        return _on_plane(plane, options)
    except BaseException:
        plane.close()
        raise


def _on_plane(plane: Plane, options: SceneOptions) -> Scene:
    resampler: Resampler | None = None
    if plane.crs is None:
        # Nothing says how large the pixels are: take them to be what the model knows best.
        low, high = options.gsd_range_m
        native_m = gsd_m = options.gsd_m or math.sqrt(low * high)
        log.warning("no CRS: each pixel is taken to be %.3g m wide", gsd_m)
    else:
        size_m = pixel_size_m(plane.transform, plane.crs, plane.width / 2, plane.height / 2)
        native_m = math.sqrt(size_m[0] * size_m[1])
        gsd_m = target_gsd_m(size_m, options.gsd_range_m, options.gsd_m)
        if gsd_m != native_m or not is_square(size_m):
            resampler = Resampler(plane.height, plane.width, gsd_m / size_m[1], gsd_m / size_m[0])
            log.info("resampling from %.3g x %.3g m to %.3g m per pixel", *size_m, gsd_m)
    sample = take_sample(plane)
    stretch = choose_stretch(sample.pixels, options)
    warn_if_unusual(sample.pixels, stretch)
    return Scene(
        plane,
        stretch,
        resampler,
        options,
        gsd_m=gsd_m,
        native_gsd_m=native_m,
        gsd_assumed=plane.crs is None and options.gsd_m is None,
        valid_fraction=sample.valid_fraction,
    )
