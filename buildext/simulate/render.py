"""Rendering: a window of the image, and the truth about each of its pixels.

    faces that may be seen → z-buffer → point on the ground under each pixel → shadow → colour

A pixel shows the ground, a roof or a wall. Its colour is that of the surface in full sun times the
light it gets: the sky's, which is bluish and less at the foot of walls, and the sun's, by the angle
to the surface and if no shadow falls there. Colours are grey levels of a display, not radiances:
patches of real scenes come as such.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.grid.window import Window
from buildext.simulate.facade import facade
from buildext.simulate.ground_cover import GroundCover
from buildext.simulate.sensor import Sensor
from buildext.simulate.shadow import SunMap
from buildext.simulate.solids import Kind
from buildext.simulate.texture import Surface, Textures
from buildext.simulate.view import View, sun_view
from buildext.simulate.world import Seen, World
from buildext.simulate.zbuffer import draw

Singles = NDArray[np.float32]

# Light of the sky on a level surface, as a share of full sun; the rest is the sun's own.
_SKY_RGB = np.array((0.36, 0.40, 0.47), np.float32)
_BRIGHTEST = 1.3
_BIAS_M = 0.4
# Pixels painted at once: their arrays stay in the processor's cache.
_AT_ONCE_PX = 100_000


@dataclass(frozen=True, slots=True)
class Sun:
    """Where the sun stands."""

    elevation_deg: float = 45.0
    azimuth_deg: float = 40.0

    def vector(self) -> NDArray[np.float64]:
        """Unit vector towards the sun: right, down (in the image), up."""
        elevation, azimuth = math.radians(self.elevation_deg), math.radians(self.azimuth_deg)
        level = math.cos(elevation)
        return np.array(
            [level * math.sin(azimuth), -level * math.cos(azimuth), math.sin(elevation)]
        )


@dataclass(frozen=True, slots=True)
class Rendered:
    """A window of the image.

    Attributes:
        rgb: `(3, h, w)` uint8.
        roof: `(h, w)` int64, structure whose roof is seen, -1 elsewhere.
        facade: `(h, w)` whether a building's wall is seen.
        height_m: `(h, w)` float32 above the ground.
    """

    rgb: NDArray[np.uint8]
    roof: NDArray[np.int64]
    facade: NDArray[np.bool_]
    height_m: Singles


class Renderer:
    """Renders windows of one scene; the windows do not influence each other."""

    def __init__(
        self,
        world: World,
        view: View,
        sun: Sun,
        textures: Textures,
        sensor: Sensor,
        gsd_m: float,
        seed: int,
    ) -> None:
        self._world, self._view, self._sensor = world, view, sensor
        self._textures, self._gsd_m, self._seed = textures, gsd_m, seed
        self._sun_vector = sun.vector()
        self._shadows = SunMap(world, sun_view(sun.elevation_deg, sun.azimuth_deg, gsd_m))
        self._cover = GroundCover(world.plan, textures, gsd_m, seed)

    def render(self, window: Window) -> Rendered:
        """Render a window."""
        wide = window.padded(self._sensor.halo_px)
        seen = self._world.seen(self._view, wide)
        height_m, face = draw(seen.faces, wide)
        signal = self._signal(seen, wide, height_m, face)
        inner = tuple(slice(self._sensor.halo_px, n - self._sensor.halo_px) for n in face.shape)
        roof, wall = _truth(seen, face[inner])
        return Rendered(
            self._sensor.expose(signal, window, self._seed), roof, wall, height_m[inner]
        )

    def _signal(
        self, seen: Seen, window: Window, height_m: Singles, face: NDArray[np.int32]
    ) -> Singles:
        """What reaches the sensor, `(3, h, w)`, 0 to 255."""
        signal = np.empty((3, window.pixels), np.float32)
        flat_face = face.ravel()
        ground = np.flatnonzero(flat_face < 0)
        lit = (self._shadows.read(window).ravel()[ground] < _BIAS_M).astype(np.float32)
        colour, sky = self._cover.colours(window, ground)
        for band in range(3):
            light = _SKY_RGB[band] * sky + (1 - _SKY_RGB[band]) * lit
            signal[band, ground] = colour[band] * light
        above = np.flatnonzero(flat_face >= 0)
        light = _lambert(seen, self._sun_vector, self._gsd_m)
        for start in range(0, len(above), _AT_ONCE_PX):
            place = above[start : start + _AT_ONCE_PX]
            z_m = height_m.ravel()[place]
            self._solid(seen, light, window, place, flat_face[place], z_m, signal)
        return signal.reshape(3, window.height, window.width)

    def _solid(
        self,
        seen: Seen,
        light: tuple[Singles, Singles],
        window: Window,
        place: NDArray[np.int64],
        face: NDArray[np.int32],
        z_m: Singles,
        signal: Singles,
    ) -> None:
        """Paint the pixels at `place` (flat) that show faces; `light` is what `_lambert` found."""
        row, col = np.divmod(place.astype(np.int32), np.int32(window.width))
        x, y = self._view.to_ground(col + (window.col + 0.5), row + (window.row + 0.5), z_m)
        lambert, bias = light
        lit = self._shadows.above(x, y, z_m) < bias[face]
        sun = np.where(lit, lambert[face], np.float32(0))
        wall = seen.wall[face]
        for shown, paint in ((wall, self._walls), (~wall, self._roofs)):
            there = np.flatnonzero(shown)
            if not len(there):
                continue
            of, own_sun, own_place = face[there], sun[there], place[there]
            colour, sky = paint(seen, of, x[there], y[there], z_m[there])
            for band in range(3):
                lightness = _SKY_RGB[band] * sky + (1 - _SKY_RGB[band]) * own_sun
                signal[band, own_place] = colour[band] * lightness

    def _walls(
        self,
        seen: Seen,
        face: NDArray[np.int32],
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        z_m: Singles,
    ) -> tuple[Singles, Singles]:
        """Colours `(3, n)` of walls, and their share of sky `(n,)`."""
        nx, ny = (np.ascontiguousarray(seen.planes[:, k]) for k in range(2))
        along_m = (y * nx[face] - x * ny[face]) * self._gsd_m
        looks = seen.looks
        colour = facade(looks.facade, looks.wall_rgb, looks.salt, seen.solid[face], along_m, z_m)
        # A wall sees half of the sky, its foot less.
        return colour, 0.50 + 0.35 * np.minimum(z_m / 25.0, 1.0)

    def _roofs(
        self,
        seen: Seen,
        face: NDArray[np.int32],
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        z_m: Singles,
    ) -> tuple[Singles, Singles]:
        """Colours `(3, n)` of roofs, and their share of sky `(n,)`: all of it."""
        solid = seen.solid[face]
        colour = np.empty((3, len(solid)), np.float32)
        for band in range(3):
            colour[band] = np.ascontiguousarray(seen.looks.roof_rgb[:, band])[solid]
        texture = seen.looks.texture[solid]
        ax, ay = (np.ascontiguousarray(seen.looks.axis[:, k]) for k in range(2))
        for surface in (Surface.FLAT_ROOF, Surface.PITCHED_ROOF, Surface.TREE):
            here = np.flatnonzero(texture == surface)
            if not len(here):
                continue
            of = solid[here]
            along, across = ax[of], ay[of]
            px, py = x[here].astype(np.float32), y[here].astype(np.float32)
            u, v = px * along + py * across, py * along - px * across
            shades = self._textures.modulation(surface, u, v, seen.looks.salt[of])
            for band in range(3):
                colour[band, here] *= shades[band]
        return colour, np.ones_like(z_m)


def _lambert(seen: Seen, sun: NDArray[np.float64], gsd_m: float) -> tuple[Singles, Singles]:
    """Sun on each face against a level one, and the height within which its own ray is forgiven.

    The sun's image has pixels; on a face that is steep in it the height changes within one.
    """
    nx, ny, m = seen.planes[:, 0], seen.planes[:, 1], seen.planes[:, 2]
    # A roof's plane has slopes per pixel, a wall's normal has length 1.
    scale = np.where(seen.wall, 1.0, 1.0 / gsd_m)
    nx, ny = nx * scale, ny * scale
    facing = (nx * sun[0] + ny * sun[1] + m * sun[2]) / np.sqrt(nx**2 + ny**2 + m**2)
    lambert = np.clip(facing / sun[2], 0.0, _BRIGHTEST)
    with np.errstate(divide="ignore"):
        steepness = np.hypot(nx, ny) * sun[2] / np.maximum(facing, 0.02)
    bias = _BIAS_M + gsd_m * np.minimum(steepness, 20.0)
    return lambert.astype(np.float32), bias.astype(np.float32)


def _truth(seen: Seen, face: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Structure whose roof a pixel shows (-1: none), and whether it shows a facade.

    What stands on a roof belongs to it.
    """
    kind = seen.looks.kind[seen.solid]
    building = kind == Kind.BUILDING
    on_roof = (building & ~seen.wall) | (kind == Kind.CLUTTER)
    # The last entry answers for the ground, face -1.
    structure = np.append(np.where(on_roof, seen.looks.structure[seen.solid], -1), -1).astype(
        np.int64
    )
    facade_of = np.append(building & seen.wall, False)
    return structure[face], facade_of[face]
