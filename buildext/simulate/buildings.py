"""Buildings as solids: colours, parapets and what stands on roofs.

The file knows outlines, heights and roof shapes; everything else is drawn from a random stream of
the structure's own, so that a building looks the same in whichever square it is made.

A flat roof lies a little below the top of its walls, behind a parapet. It carries boxes
(air conditioning, lift heads) and flat panels (skylights), never nearer to its edge than they are
high: seen at 45° they do not reach beyond the outline, so the outline of the roof is exactly that
of the tier.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.simulate.city import City, Roof
from buildext.simulate.facade import Style
from buildext.simulate.faces import Pieces
from buildext.simulate.label_errors import stream
from buildext.simulate.roofs import roof_pieces
from buildext.simulate.solids import Kind, Looks, Solids, join, level_pieces
from buildext.simulate.texture import Surface

Floats = NDArray[np.float64]
Polygons = NDArray[np.object_]

PARAPET_M = 0.7
_PARAPET_WIDTH_M = 0.35
_FREE_EDGE_M = 2.6
_HIGHEST_BOX_M = 2.4
_MOST_BOXES = 40
_HALL_M2 = 900.0

# Sunlit colours, 0 to 255, of roofs and walls as they are seen from the air in many towns.
_FLAT_ROOFS = np.array(
    [
        (172, 170, 165), (150, 147, 142), (128, 126, 123), (196, 195, 190), (221, 220, 216),
        (108, 104, 100), (168, 156, 138), (140, 128, 112), (92, 91, 92), (184, 178, 168),
        (120, 132, 128), (150, 134, 124),
    ],
    np.float32,
)  # fmt: skip
_PITCHED_ROOFS = np.array(
    [
        (165, 100, 75), (150, 86, 64), (176, 122, 92), (128, 96, 80), (160, 162, 165),
        (186, 188, 190), (112, 112, 116), (88, 90, 96), (142, 132, 120), (205, 205, 203),
    ],
    np.float32,
)  # fmt: skip
_HALL_ROOFS = np.array(
    [(186, 188, 190), (205, 205, 203), (160, 162, 165), (142, 144, 148), (172, 164, 152)],
    np.float32,
)
_WALLS = np.array(
    [
        (176, 166, 150), (152, 118, 98), (165, 163, 158), (205, 202, 196), (136, 130, 122),
        (188, 172, 146), (120, 100, 88), (150, 152, 156),
    ],
    np.float32,
)  # fmt: skip
_GLASS_WALLS = np.array([(96, 112, 124), (72, 84, 94), (112, 128, 134), (60, 66, 72)], np.float32)
_BOXES = np.array([(190, 190, 188), (160, 160, 158), (128, 128, 126), (212, 212, 210)], np.float32)
_PANELS = np.array([(60, 68, 80), (205, 215, 220), (46, 52, 74)], np.float32)


def building_solids(
    city: City, outlines: Polygons, rows: NDArray[np.int64], gsd_m: float, seed: int
) -> Solids:
    """The tiers in some rows of a city, with parapets and what stands on their roofs.

    Args:
        city: the tiers.
        outlines: `(n,)` their polygons in the plane, all rows.
        rows: which tiers.
        gsd_m: metres per pixel.
        seed: of everything random.
    """
    polygons, top_m, base_m = outlines[rows], city.top_m[rows], city.base_m[rows]
    looks = _Appearance(city, polygons, rows, gsd_m, seed)
    floor = _floors(polygons, top_m - base_m, city.roof[rows], gsd_m)
    behind = np.flatnonzero(~shapely.is_empty(floor))
    body = roof_pieces(polygons, base_m, top_m, city.roof[rows], gsd_m)
    # A roof with a parapet keeps its rim only, whose inner edge gets no facade.
    rimmed = np.isin(body.solid, behind)
    rim = shapely.difference(body.polygons[rimmed], floor[body.solid[rimmed]])
    body.polygons[rimmed] = shapely.orient_polygons(rim)
    body.split[rimmed] = True
    batches = [looks.solids(np.arange(len(rows)), body, polygons, base_m)]
    if len(behind):
        floor_m = top_m[behind] - PARAPET_M
        level = level_pieces(floor[behind], floor_m, walled=False)
        batches.append(looks.solids(behind, level, floor[behind], floor_m))
        batches.append(_parapets(looks, behind, rim, floor[behind], floor_m))
        batches.extend(_clutter(looks, behind, floor, floor_m, gsd_m))
    return join(batches)


def _parapets(
    looks: _Appearance, of: NDArray[np.int64], rim: Polygons, floor: Polygons, floor_m: Floats
) -> Solids:
    """Rims with the walls that look onto the roof; those that look outwards are the tier's."""
    pieces = level_pieces(rim, floor_m + PARAPET_M)
    pieces.split[:] = True
    solids = looks.solids(of, pieces, floor, floor_m)
    solids.looks.kind[:] = Kind.CLUTTER
    solids.looks.texture[:] = Surface.PLAIN
    solids.looks.facade[:] = Style.BLANK
    coping = np.minimum(0.6 * looks.wall_rgb[of] + 0.5 * looks.roof_rgb[of], 235)
    solids.looks.roof_rgb[:] = coping
    solids.looks.wall_rgb[:] = coping
    return solids


class _Appearance:
    """What buildings look like, drawn for each structure."""

    def __init__(
        self,
        city: City,
        polygons: Polygons,
        rows: NDArray[np.int64],
        gsd_m: float,
        seed: int,
    ) -> None:
        self.structure = city.structure[rows]
        self.rows = rows
        self.seed = seed
        distinct, which = np.unique(self.structure, return_inverse=True)
        # Colours belong to the structure, and a tier departs from them a little.
        draws = np.array([stream(seed, "looks", int(s)).random(8) for s in distinct]).reshape(-1, 8)
        own = draws[which.reshape(-1)]
        tier = np.array([stream(seed, "tier", int(row)).random(4) for row in rows]).reshape(-1, 4)
        flat = city.roof[rows] == Roof.FLAT
        high = city.top_m[rows] > 30
        shade = (0.88 + 0.24 * tier[:, :1]).astype(np.float32)
        # Tiers of a flat-roofed structure are often covered differently.
        pick = np.where(tier[:, 1] < 0.5, own[:, 0], tier[:, 2])
        self.roof_rgb = np.where(
            flat[:, None], _choose(_FLAT_ROOFS, pick), _choose(_PITCHED_ROOFS, own[:, 1])
        )
        hall = ~flat & (shapely.area(polygons) * gsd_m**2 > _HALL_M2)
        self.roof_rgb[hall] = _choose(_HALL_ROOFS, own[hall, 1])
        self.roof_rgb = np.clip(self.roof_rgb * shade, 0, 235).astype(np.float32)
        glazed = high & (own[:, 2] < 0.5)
        self.wall_rgb = np.where(
            glazed[:, None], _choose(_GLASS_WALLS, own[:, 3]), _choose(_WALLS, own[:, 4])
        ).astype(np.float32)
        self.facade = np.where(
            glazed, Style.CURTAIN, np.where(high & (own[:, 5] < 0.4), Style.STRIPS, Style.PUNCHED)
        ).astype(np.uint8)
        self.texture = np.where(flat, Surface.FLAT_ROOF, Surface.PITCHED_ROOF).astype(np.uint8)
        self.salt = (own[:, 6] * 2**31).astype(np.int64)
        self.axis = _axes(polygons)

    def solids(
        self, of: NDArray[np.int64], pieces: Pieces, outlines: Polygons, base_m: Floats
    ) -> Solids:
        """Solids with the looks of the tiers `of`."""
        return Solids(
            pieces=pieces,
            outlines=outlines,
            base_m=base_m,
            looks=Looks(
                kind=np.full(len(of), Kind.BUILDING, np.uint8),
                structure=self.structure[of],
                roof_rgb=self.roof_rgb[of],
                wall_rgb=self.wall_rgb[of],
                texture=self.texture[of],
                facade=self.facade[of],
                axis=self.axis[of],
                salt=self.salt[of],
            ),
        )


def _choose(colours: NDArray[np.float32], draw: Floats) -> NDArray[np.float32]:
    chosen: NDArray[np.float32] = colours[(draw * len(colours)).astype(np.int64)]
    return chosen


def _axes(polygons: Polygons) -> NDArray[np.float32]:
    """Unit vectors along the longer sides of the smallest rectangles, `(n, 2)`."""
    corners = shapely.get_coordinates(shapely.oriented_envelope(polygons)).reshape(-1, 5, 2)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]
    longer = np.hypot(*first.T) >= np.hypot(*second.T)
    along = np.where(longer[:, None], first, second)
    axes: NDArray[np.float32] = (along / np.hypot(*along.T)[:, None]).astype(np.float32)
    return axes


def _floors(
    polygons: Polygons, height_m: Floats, roof: NDArray[np.uint8], gsd_m: float
) -> Polygons:
    """The roof behind the parapet; empty where there is no parapet."""
    floor = np.full(len(polygons), shapely.Polygon(), object)
    fits = (roof == Roof.FLAT) & (height_m > 2.5) & (shapely.area(polygons) * gsd_m**2 > 40)
    inset = shapely.buffer(polygons[fits], -_PARAPET_WIDTH_M / gsd_m, join_style="mitre")
    # Where walls stand close the inset falls apart; such a roof has no parapet.
    inset[shapely.get_num_geometries(inset) != 1] = shapely.Polygon()
    inset[shapely.get_type_id(inset) != shapely.GeometryType.POLYGON] = shapely.Polygon()
    floor[fits] = inset
    return floor


def _clutter(
    looks: _Appearance,
    of: NDArray[np.int64],
    floor: Polygons,
    floor_m: Floats,
    gsd_m: float,
) -> list[Solids]:
    """Boxes and panels on flat roofs."""
    room = shapely.buffer(floor[of], -_FREE_EDGE_M / gsd_m, join_style="mitre")
    area_m2 = shapely.area(room) * gsd_m**2
    middles, sizes, heights, colours, hosts = [], [], [], [], []
    for k in np.flatnonzero(area_m2 > 4):
        rng = stream(looks.seed, "clutter", int(looks.rows[of[k]]))
        count = min(rng.poisson(1 + area_m2[k] / 70), _MOST_BOXES)
        west, south, east, north = shapely.bounds(room[k])
        middles.append(rng.uniform((west, south), (east, north), (count, 2)))
        panel = rng.random(count) < 0.3
        size = rng.uniform((0.9, 0.8), (3.6, 2.4), (count, 2))
        sizes.append(size * np.where(rng.random((count, 1)) < 0.12, 2.0, 1.0))
        heights.append(np.where(panel, 0.25, rng.uniform(0.6, _HIGHEST_BOX_M, count)))
        box, flat = _choose(_BOXES, rng.random(count)), _choose(_PANELS, rng.random(count))
        colours.append(np.where(panel[:, None], flat, box))
        hosts.append(np.full(count, k))
    if not hosts:
        return []
    host = np.concatenate(hosts)
    along = looks.axis[of[host]].astype(np.float64)
    across = np.column_stack([-along[:, 1], along[:, 0]])
    half = np.concatenate(sizes) / gsd_m / 2
    u, v = along * half[:, :1], across * half[:, 1:]
    middle = np.concatenate(middles)
    boxes = shapely.polygons(
        np.stack([middle - u - v, middle + u - v, middle + u + v, middle - u + v], axis=1)
    )
    fits = np.flatnonzero(shapely.contains(room[host], boxes))
    if not len(fits):
        return []
    tier = of[host[fits]]
    base_m = floor_m[host[fits]]
    colour = np.concatenate(colours)[fits].astype(np.float32)
    return [
        Solids(
            pieces=level_pieces(boxes[fits], base_m + np.concatenate(heights)[fits]),
            outlines=boxes[fits],
            base_m=base_m,
            looks=Looks(
                kind=np.full(len(fits), Kind.CLUTTER, np.uint8),
                structure=looks.structure[tier],
                roof_rgb=colour,
                wall_rgb=colour,
                texture=np.full(len(fits), Surface.PLAIN, np.uint8),
                facade=np.full(len(fits), Style.BLANK, np.uint8),
                axis=looks.axis[tier],
                salt=looks.salt[tier],
            ),
        )
    ]
