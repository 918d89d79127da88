"""Truth in polygons: the roofs as they are seen, the footprints as a map has them.

- `tiers`: the roof of each tier, projected into the image: exact, whether seen or hidden.
- `roofs`: one feature for each structure of which some roof is seen. Where (nearly) all of its
  roofs is seen they are the union of its tiers' projected roofs, exact (`outline` is `exact`);
  where something hides a part, or the structure its own lower roofs, they are traced from the
  image (`traced`), to about half a pixel.
- `footprints`: the outlines on the ground, with whatever other errors were asked for. This is the
  misaligned label.

The step from roof to footprint, `east_m` and `north_m`, is that of the structure's main roof, the
largest of its tiers; `height_m` is that of its highest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.simulate.city import City, Roof
from buildext.simulate.grid import ImageGrid, windows_over
from buildext.simulate.label_errors import LabelErrors, lead_astray
from buildext.simulate.layer import Layer
from buildext.simulate.roofs import roof_pieces
from buildext.simulate.view import View

Floats = NDArray[np.float64]
Polygons = NDArray[np.object_]

_SEEN_SHARE = 0.995
_LEAST_SEEN_PX = 4
_TRACED_TOLERANCE_PX = 0.75
_SNAP_PX = 1e-4
_CHUNK_PX = 2048


@dataclass(frozen=True, slots=True)
class Structures:
    """Structures in the image.

    Attributes:
        tier_roofs: `(n,)` roofs of the tiers in the image, in the plane.
        tier_step_m: `(n, 2)` step east and north from a tier's roof to its outline.
        footprints: `(s,)` outlines on the ground, in the plane.
        roofs: `(s,)` union of the tiers' roofs in the image.
        step_m: `(s, 2)` step of the main roof.
        roof_m: `(s,)` height of the main roof.
        height_m: `(s,)` height of the highest roof.
    """

    tier_roofs: Polygons
    tier_step_m: Floats
    footprints: Polygons
    roofs: Polygons
    step_m: Floats
    roof_m: Floats
    height_m: Floats


def find_structures(city: City, outlines: Polygons, view: View, gsd_m: float) -> Structures:
    """Project all roofs into the image and gather the tiers of each structure."""
    pieces = roof_pieces(outlines, city.base_m, city.top_m, city.roof, gsd_m)
    xy, piece = shapely.get_coordinates(pieces.polygons, return_index=True)
    z = (pieces.slope_xy[piece] * xy).sum(axis=1) + pieces.offset_m[piece]
    seen = shapely.set_coordinates(
        pieces.polygons.copy(), np.column_stack(view.to_image(xy[:, 0], xy[:, 1], z))
    )
    # A slope seen edge-on may fold over itself where a hole touches its border.
    seen = shapely.make_valid(seen, method="structure", keep_collapsed=False)
    tier_roofs = _unions(seen, pieces.solid, len(outlines))
    middle = shapely.get_coordinates(shapely.centroid(outlines))
    there = np.column_stack(view.to_image(middle[:, 0], middle[:, 1], city.top_m))
    tier_step_m = (middle - there) * gsd_m * np.array([1, -1])

    area = shapely.area(outlines)
    order = np.lexsort((area, city.structure))
    last = np.flatnonzero(np.diff(city.structure[order], append=-1))
    main = order[last]
    height_m = np.zeros(city.structures)
    np.maximum.at(height_m, city.structure, city.top_m)
    return Structures(
        tier_roofs=tier_roofs,
        tier_step_m=tier_step_m,
        footprints=_unions(outlines, city.structure, city.structures),
        roofs=_unions(tier_roofs, city.structure, city.structures),
        step_m=tier_step_m[main],
        roof_m=city.top_m[main],
        height_m=height_m,
    )


def tiers_layer(city: City, grid: ImageGrid, structures: Structures) -> Layer:
    """Roofs of all tiers in the image."""
    inside = _inside(structures.tier_roofs, grid)
    names = np.array([Roof(r).name.lower() for r in range(len(Roof))], object)
    fields: dict[str, NDArray[Any]] = {
        "structure": city.structure_id[city.structure[inside]],
        "height_m": city.top_m[inside],
        "base_m": city.base_m[inside],
        "roof_type": names[city.roof[inside]],
        "east_m": structures.tier_step_m[inside, 0],
        "north_m": structures.tier_step_m[inside, 1],
    }
    return Layer(grid.crs, grid.to_crs(structures.tier_roofs[inside]), fields)


def roofs_layer(
    city: City,
    grid: ImageGrid,
    structures: Structures,
    seen_px: NDArray[np.int64],
    instances: Path,
) -> Layer:
    """Roofs that are seen.

    Args:
        city: the buildings.
        grid: the image grid.
        structures: see `find_structures`.
        seen_px: `(s,)` pixels in which each structure's roofs are seen.
        instances: raster with the number of the structure + 1 where a roof is seen.
    """
    area_px = shapely.area(structures.roofs)
    there = np.flatnonzero((seen_px >= _LEAST_SEEN_PX) & (area_px > 0))
    share = np.minimum(seen_px[there] / area_px[there], 1.0)
    whole = (share >= _SEEN_SHARE) & shapely.contains(
        shapely.box(0, 0, grid.width, grid.height), structures.roofs[there]
    )
    polygons = grid.to_crs(structures.roofs[there])
    for k, polygon in _traced(instances, there[~whole], grid, city.structures):
        polygons[np.searchsorted(there, k)] = polygon
    fields: dict[str, NDArray[Any]] = {
        "structure": city.structure_id[there],
        "height_m": structures.height_m[there],
        "roof_m": structures.roof_m[there],
        "east_m": structures.step_m[there, 0],
        "north_m": structures.step_m[there, 1],
        "seen": share.round(4),
        "outline": np.where(whole, "exact", "traced").astype(object),
    }
    return Layer(grid.crs, polygons, fields)


def footprints_layer(
    city: City, grid: ImageGrid, structures: Structures, errors: LabelErrors, seed: int
) -> Layer:
    """Footprints with label errors; `east_m`, `north_m` is the step from the main roof to them."""
    inside = _inside(structures.footprints, grid)
    moved = lead_astray(
        grid.to_crs(structures.footprints[inside]), structures.height_m[inside], errors, seed
    )
    source = inside[moved.source]
    true = moved.source >= 0
    step = moved.offset_xy_m + structures.step_m[source]
    fields: dict[str, NDArray[Any]] = {
        "structure": np.where(true, city.structure_id[source], -1),
        "status": moved.status,
        "height_m": np.where(true, structures.height_m[source], np.nan),
        "roof_m": np.where(true, structures.roof_m[source], np.nan),
        "east_m": step[:, 0],
        "north_m": step[:, 1],
        "error_east_m": moved.offset_xy_m[:, 0],
        "error_north_m": moved.offset_xy_m[:, 1],
        "rotation_deg": moved.rotation_deg,
    }
    return Layer(grid.crs, moved.polygons, fields)


def _inside(polygons: Polygons, grid: ImageGrid) -> NDArray[np.int64]:
    """Indices of the polygons that reach into the image."""
    frame = shapely.box(0, 0, grid.width, grid.height)
    shapely.prepare(frame)
    return np.flatnonzero(shapely.intersects(frame, polygons))


def _unions(polygons: Polygons, owner: NDArray[np.int64], count: int) -> Polygons:
    """The union of each owner's polygons `(count,)`."""
    # Pieces that meet along a ridge meet to a rounding error: a fine grid closes the gap.
    several = np.bincount(owner, minlength=count)[owner] > 1
    polygons = polygons.copy()
    polygons[several] = shapely.set_precision(polygons[several], _SNAP_PX)
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(count + 1))
    out = np.empty(count, object)
    for k in range(count):
        own = polygons[order[first[k] : first[k + 1]]]
        if len(own) == 1:
            out[k] = own[0]
            continue
        out[k] = shapely.union_all(own)
    return out


def _traced(
    instances: Path, wanted: NDArray[np.int64], grid: ImageGrid, count: int
) -> Iterator[tuple[int, shapely.Geometry]]:
    """Some structures with their roofs as the image shows them, smoothed, in the CRS.

    The image is traced in chunks; regions cut by a chunk's border are joined again, in whole
    pixels and therefore exactly.
    """
    import rasterio
    from affine import Affine
    from rasterio.features import shapes
    from rasterio.windows import Window as RasterWindow

    asked = np.zeros(count + 1, np.int32)
    asked[wanted + 1] = wanted + 1
    smooth: dict[int, list[shapely.Polygon]] = {}
    cut: dict[int, list[shapely.Polygon]] = {}
    with rasterio.open(instances) as raster:
        for window in windows_over(grid.window, _CHUNK_PX):
            where = RasterWindow(window.col, window.row, window.width, window.height)
            numbers = asked[raster.read(1, window=where)]
            corner = Affine.translation(window.col, window.row)
            inside = shapely.box(
                window.col + 1, window.row + 1, window.col_stop - 1, window.row_stop - 1
            )
            for region, number in shapes(numbers, mask=numbers > 0, transform=corner):
                # From arrays: point by point a polygon takes ten times as long.
                shell, *holes = (shapely.linearrings(ring) for ring in region["coordinates"])
                polygon = shapely.polygons(shell, holes or None)
                k = int(number) - 1
                # Steps of pixels take much room: what is complete is smoothed at once.
                if shapely.covers(inside, polygon):
                    smooth.setdefault(k, []).append(polygon.simplify(_TRACED_TOLERANCE_PX))
                else:
                    cut.setdefault(k, []).append(polygon)
    for k in wanted.tolist():
        regions = smooth.get(k, [])
        if k in cut:
            joined = shapely.simplify(shapely.union_all(cut[k]), _TRACED_TOLERANCE_PX)
            regions = [*regions, *shapely.get_parts(joined)]
        whole = regions[0] if len(regions) == 1 else shapely.multipolygons(regions)
        # Neighbours that were smoothed apart from each other may overlap by a sliver.
        sound = shapely.make_valid(whole, method="structure", keep_collapsed=False)
        yield k, grid.to_crs(np.array([sound]))[0]
