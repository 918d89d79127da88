"""Trees and cars: what stands between the buildings, placed by the ground plan.

A tree is a stack of ragged discs, which leans, hides and casts a shadow as a crown does. A car is a
box with a cabin. Both are placed in squares of the ground plan, from a stream of the square's own.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.simulate.facade import Style
from buildext.simulate.faces import Pieces
from buildext.simulate.label_errors import stream
from buildext.simulate.noise import Noise
from buildext.simulate.plan import OPEN_M, Fields
from buildext.simulate.solids import Kind, Looks, Solids, level_pieces
from buildext.simulate.texture import Surface

Floats = NDArray[np.float64]

# Side of the squares of the world.
SQUARE_M = 256
# Trees and cars are sought in lots of this side, one of each sort at most.
_LOT_M = 8
_CROWN_CORNERS = 11
# Share of the crown's radius and of its height, from below.
_CROWN_LAYERS = ((0.80, 0.30), (1.00, 0.48), (0.92, 0.66), (0.70, 0.83), (0.38, 1.00))
_CARS = np.array(
    [
        (225, 225, 222), (222, 222, 220), (170, 172, 174), (120, 122, 124), (52, 53, 56),
        (40, 41, 44), (150, 40, 36), (46, 66, 110), (196, 190, 176),
    ],
    np.float32,
)  # fmt: skip
_LEAVES_RGB = np.array((82.0, 98.0, 58.0), np.float64)
PARKED_M, DRIVEN_M = 4.3, 7.6


def furniture(
    fields: Fields, i: int, j: int, gsd_m: float, seed: int, noise: Noise
) -> list[Solids]:
    """Trees and cars of the square in row i and column j of the ground plan."""
    rng = stream(seed, "furniture", i, j)
    return [_trees(fields, i, j, gsd_m, rng, noise), _cars(fields, i, j, gsd_m, rng)]


def _nearest_in_lots(error: NDArray[np.float32]) -> tuple[Floats, NDArray[np.float32]]:
    """In each lot the cell of the least error: its place (x, y) in metres, and that error."""
    lots = SQUARE_M // _LOT_M
    cells = error.reshape(lots, _LOT_M, lots, _LOT_M).transpose(0, 2, 1, 3).reshape(lots**2, -1)
    best = cells.argmin(axis=1)
    lot = np.arange(lots**2)
    x = (lot % lots) * _LOT_M + best % _LOT_M + 0.5
    y = (lot // lots) * _LOT_M + best // _LOT_M + 0.5
    return np.column_stack([x, y]), cells[lot, best]


def _trees(
    fields: Fields, i: int, j: int, gsd_m: float, rng: np.random.Generator, noise: Noise
) -> Solids:
    street, wall, density, water = fields.street_m, fields.wall_m, fields.density, fields.water
    # Along kerbs.
    kerb, error = _nearest_in_lots(np.abs(street - 1.9))
    rows = [kerb[(error < 0.6) & (rng.random(len(kerb)) < 0.42)]]
    # In gardens and open spaces: anywhere in a lot.
    lots = SQUARE_M // _LOT_M
    for _ in range(2):
        lot = np.arange(lots**2)
        place = np.column_stack([lot % lots, lot // lots]) * _LOT_M + rng.uniform(
            0, _LOT_M, (lots**2, 2)
        )
        x, y = place.astype(np.int64).T
        s, w, d = street[y, x], wall[y, x], density[y, x]
        wood = noise.at(place[:, 0] + j * SQUARE_M, place[:, 1] + i * SQUARE_M, 37.0)
        chance = np.where(s > OPEN_M, np.clip(2.0 * wood - 0.95, 0.01, 0.8), 0.0)
        chance = np.where((s <= 0) & (w > 2.5), np.clip(0.75 - 1.5 * d, 0.04, 0.6), chance)
        chance = np.where(water[y, x], 0.0, chance)
        rows.append(place[rng.random(len(place)) < chance])
    place = np.concatenate(rows)
    count = len(place)
    x, y = np.minimum(place.astype(np.int64), SQUARE_M - 1).T
    radius_m = np.minimum(rng.uniform(1.6, 4.6, count), fields.wall_m[y, x] + 0.4)
    place, radius_m = place[radius_m > 0.9], radius_m[radius_m > 0.9]
    return _crowns(place + np.array([j, i]) * SQUARE_M, radius_m, gsd_m, rng)


def _crowns(place_m: Floats, radius_m: Floats, gsd_m: float, rng: np.random.Generator) -> Solids:
    """Crowns at places in metres."""
    count, layers = len(place_m), len(_CROWN_LAYERS)
    height_m = radius_m * rng.uniform(1.7, 2.4, count) + 1.2
    angle = np.linspace(0, 2 * np.pi, _CROWN_CORNERS, endpoint=False)
    ragged = rng.uniform(0.74, 1.16, (count, layers, _CROWN_CORNERS))
    jitter = rng.normal(0, 0.09, (count, layers, 1, 2)) * radius_m[:, None, None, None]
    share = np.array([r for r, _ in _CROWN_LAYERS])[None, :, None]
    r = radius_m[:, None, None] * share * ragged
    ring = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1)
    xy = (place_m[:, None, None, :] + jitter + ring) / gsd_m
    discs = shapely.polygons(xy.reshape(-1, _CROWN_CORNERS, 2))
    top = height_m[:, None] * np.array([h for _, h in _CROWN_LAYERS])[None, :]
    tint = rng.uniform(0.72, 1.12, (count, 1, 1)) * np.array([1.0, 1.0, 0.95])
    tint = tint * rng.uniform(0.9, 1.1, (count, 1, 3))
    # Deeper layers get less light.
    light = np.linspace(0.62, 1.1, layers)[None, :, None]
    rgb = (_LEAVES_RGB * tint * light).reshape(-1, 3).astype(np.float32)
    pieces = level_pieces(discs, top.ravel(), walled=False)
    return _plain(pieces, discs, top.ravel() - 0.3, Kind.TREE, rgb, Surface.TREE, rng)


def _cars(fields: Fields, i: int, j: int, gsd_m: float, rng: np.random.Generator) -> Solids:
    street = fields.street_m
    rise = np.array(np.gradient(street.astype(np.float64)))
    places = []
    for distance, chance in ((PARKED_M, 0.62), (DRIVEN_M, 0.16)):
        place, error = _nearest_in_lots(np.abs(street - distance))
        places.append(place[(error < 0.5) & (rng.random(len(place)) < chance)])
    place = np.concatenate(places)
    x, y = place.astype(np.int64).T
    away: Floats = np.column_stack([rise[1][y, x], rise[0][y, x]])
    steep = np.linalg.norm(away, axis=1) > 0.6
    busy = fields.density[y, x] > 0.1
    place, away = place[steep & busy], away[steep & busy]
    away = away / np.linalg.norm(away, axis=1, keepdims=True)
    along = np.column_stack([-away[:, 1], away[:, 0]])
    along = along * np.where(rng.random((len(along), 1)) < 0.5, -1, 1)
    middle = (place + np.array([j, i]) * SQUARE_M) / gsd_m
    count = len(middle)
    length, width = rng.uniform(3.9, 5.0, (count, 1)), rng.uniform(1.7, 1.95, (count, 1))
    rgb = _CARS[rng.integers(len(_CARS), size=count)]
    body = _boxes(middle, along, length / gsd_m, width / gsd_m)
    cabin = _boxes(
        middle - along * 0.35 / gsd_m, along, 0.52 * length / gsd_m, 0.84 * width / gsd_m
    )
    glass = np.full((count, 3), 42, np.float32)
    boxes = np.concatenate([body, cabin])
    top = np.concatenate([np.full(count, 0.85), np.full(count, 1.45)])
    base = np.concatenate([np.full(count, 0.25), np.full(count, 0.85)])
    solids = _plain(
        level_pieces(boxes, top),
        boxes,
        base,
        Kind.CAR,
        np.concatenate([rgb, rgb]),
        Surface.PLAIN,
        rng,
    )
    solids.looks.wall_rgb[:] = np.concatenate([rgb, glass])
    return solids


def _boxes(middle: Floats, along: Floats, length: Floats, width: Floats) -> NDArray[np.object_]:
    u, v = along * length / 2, np.column_stack([-along[:, 1], along[:, 0]]) * width / 2
    corners = np.stack([middle - u - v, middle + u - v, middle + u + v, middle - u + v], axis=1)
    boxes: NDArray[np.object_] = shapely.polygons(corners)
    return boxes


def _plain(
    pieces: Pieces,
    outlines: NDArray[np.object_],
    base_m: Floats,
    kind: Kind,
    rgb: NDArray[np.float32],
    texture: Surface,
    rng: np.random.Generator,
) -> Solids:
    count = len(outlines)
    return Solids(
        pieces=pieces,
        outlines=outlines,
        base_m=base_m,
        looks=Looks(
            kind=np.full(count, kind, np.uint8),
            structure=np.full(count, -1),
            roof_rgb=rgb,
            wall_rgb=rgb.copy(),
            texture=np.full(count, texture, np.uint8),
            facade=np.full(count, Style.BLANK, np.uint8),
            axis=np.tile(np.array([1, 0], np.float32), (count, 1)),
            salt=rng.integers(2**31, size=count),
        ),
    )
