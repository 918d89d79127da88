"""The scored region: the frame, and inside it the polygons to stay within.

Where nothing is said, a reference mask is scored on its own grid, and reference polygons inside
their bounding box: what lies outside it may never have been labelled, and a correct building there
would count as false. Who knows the labelled area better says so with an extent or an AOI.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from buildext.errors import InputError, LabelError
from buildext.evaluate.frame import Frame, metre_frame
from buildext.evaluate.masks import raster_frame
from buildext.evaluate.options import Bounds, EvaluateOptions
from buildext.evaluate.vectors import VectorFile, read_vector


def choose_frame(ref: Path, ref_file: VectorFile | None, options: EvaluateOptions) -> Frame:
    """The frame that the options ask for, or the one that the reference suggests.

    Args:
        ref: path of the reference.
        ref_file: the reference's polygons; None where it is a mask.
        options: with the extent and the resolution.

    Raises:
        LabelError: the reference has no polygon whose bounding box could be scored.
    """
    extent = options.extent
    if isinstance(extent, Frame):
        return extent
    if isinstance(extent, Path):
        return raster_frame(extent, f"grid of {extent}")
    if isinstance(extent, Bounds):
        crs = ref_file.crs if ref_file else raster_frame(ref, str(ref)).crs
        return metre_frame(crs, extent, options.resolution_m, "given rectangle")
    if ref_file is None:
        return raster_frame(ref, f"grid of {ref}")
    if len(ref_file.geometries) == 0:
        raise LabelError(f"{ref} holds no polygon", hint="give a reference with buildings")
    bounds = tuple(float(value) for value in shapely.total_bounds(ref_file.geometries))
    return metre_frame(ref_file.crs, bounds, options.resolution_m, f"bounding box of {ref}")  # type: ignore[arg-type]


def choose_region(
    frame: Frame, aoi: Path | Bounds | None, unlabelled: NDArray[np.object_]
) -> shapely.Geometry:
    """The part of the frame that is scored, in its ground plane.

    Args:
        frame: the scored grid.
        aoi: polygons, or a rectangle in the frame's CRS, to stay within.
        unlabelled: polygons in the ground plane that are not scored.

    Raises:
        InputError: nothing is left to score.
    """
    region: shapely.Geometry = frame.box
    if aoi is not None:
        region = shapely.intersection(region, _aoi_polygons(frame, aoi))
    if len(unlabelled):
        region = shapely.difference(region, shapely.union_all(unlabelled))
    if region.area == 0:
        raise InputError(
            "the AOI and the labelled pixels leave nothing of the extent to score",
            hint="check the CRS of the AOI and the nodata tag of the reference",
        )
    return region


def _aoi_polygons(frame: Frame, aoi: Path | Bounds) -> shapely.Geometry:
    if isinstance(aoi, Bounds):
        boxes = np.array([shapely.box(*aoi)], dtype=object)
        return frame.to_plane(boxes, frame.crs)[0]
    file = read_vector(aoi)
    return shapely.union_all(shapely.make_valid(frame.to_plane(file.geometries, file.crs)))


def require_overlap(frame: Frame, path: Path, file: VectorFile | None) -> None:
    """Refuse a layer that lies somewhere else altogether; an empty one lies nowhere, and may.

    Raises:
        InputError: the bounding boxes of the layer and the frame do not meet.
    """
    if file is not None and len(file.geometries) == 0:
        return
    if file is None:
        grid = raster_frame(path, str(path))
        crs: pyproj.CRS = grid.crs
        corners = grid.bounds
    else:
        crs = file.crs
        corners = tuple(shapely.total_bounds(file.geometries))
    there = frame.to_plane(np.array([shapely.box(*corners)], dtype=object), crs)[0]
    if not shapely.intersects(shapely.box(*there.bounds), frame.box):
        raise InputError(
            f"{path} does not meet the scored extent ({frame.source})",
            hint="check that both files show the same place and carry the right CRS",
        )
