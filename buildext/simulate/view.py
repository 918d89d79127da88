"""Views: how points above the ground fall onto an image that is rectified to the ground.

The *plane* of this room has x along the image's columns and y down its rows, both in pixels, with
integers at pixel corners; z is the height above the ground in metres. A view takes (x, y, z) to the
place in the image where the point is seen. Points on the ground stay where they are.

- `Parallel`: a satellite, so far away that all rays are parallel. A point moves z · (dx, dy).
- `Central`: a frame camera at the height H over the point C. A point moves away from C,
  p = C + (X - C) · H / (H - z), so the lean grows linearly with the distance from C.

The sun is a parallel view as well: what it does not see lies in shadow.

A ray comes from above, so of all surfaces that fall onto a pixel the highest is seen. On a face in
the plane n·X + m·z = c the height seen at p is a quotient of affine functions of p:

    Parallel   z = (c - n·p) / (m - n·d)
    Central    z = (c - n·p) / (m - n·(p - C) / H)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.simulate.lean import lean_xy

Floats = NDArray[np.float64]
Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Depth:
    """Heights of faces as seen from a view: (a + b·x + c·y) / (d + e·x + f·y).

    Attributes:
        numerator: `(n, 3)` a, b, c in metres.
        denominator: `(n, 3)` d, e, f; None where it is 1 everywhere.
        front: `(n,)` whether the face's outer side is seen.
    """

    numerator: Floats
    denominator: Floats | None
    front: NDArray[np.bool_]


class View(Protocol):
    """A way to look at the scene; arrays of coordinates broadcast. Equal views hash alike."""

    def __hash__(self) -> int:
        """Views are keys of caches."""

    def to_image(self, x: Numbers, y: Numbers, z_m: Numbers) -> tuple[Floats, Floats]:
        """Where points are seen."""

    def to_ground(self, x: Numbers, y: Numbers, z_m: Numbers) -> tuple[Floats, Floats]:
        """Over which ground a point lies that is seen at (x, y) and has the height z."""

    def depth(self, planes: Floats) -> Depth:
        """Heights seen on faces in the planes `(n, 4)`: nx, ny, m, c."""


@dataclass(frozen=True, slots=True)
class Parallel:
    """Parallel rays; a point moves by (dx, dy) pixels for each metre of height."""

    dx: float
    dy: float

    def to_image(self, x: Numbers, y: Numbers, z_m: Numbers) -> tuple[Floats, Floats]:
        """Where points are seen."""
        return x + z_m * self.dx, y + z_m * self.dy

    def to_ground(self, x: Numbers, y: Numbers, z_m: Numbers) -> tuple[Floats, Floats]:
        """The ground under what is seen."""
        return x - z_m * self.dx, y - z_m * self.dy

    def depth(self, planes: Floats) -> Depth:
        """Heights seen on faces."""
        nx, ny, m, c = planes.T
        facing = m - nx * self.dx - ny * self.dy
        front = facing > 1e-9
        numerator = np.column_stack([c, -nx, -ny]) / np.where(front, facing, 1.0)[:, None]
        return Depth(numerator, None, front)


@dataclass(frozen=True, slots=True)
class Central:
    """Rays through the point (x, y) at `height_m` above the ground."""

    x: float
    y: float
    height_m: float

    def to_image(self, x: Numbers, y: Numbers, z_m: Numbers) -> tuple[Floats, Floats]:
        """Where points are seen."""
        scale = self.height_m / (self.height_m - z_m)
        return self.x + (x - self.x) * scale, self.y + (y - self.y) * scale

    def to_ground(self, x: Numbers, y: Numbers, z_m: Numbers) -> tuple[Floats, Floats]:
        """The ground under what is seen."""
        scale = 1.0 - z_m / self.height_m
        return self.x + (x - self.x) * scale, self.y + (y - self.y) * scale

    def depth(self, planes: Floats) -> Depth:
        """Heights seen on faces."""
        nx, ny, m, c = planes.T
        front = nx * self.x + ny * self.y + m * self.height_m > c + 1e-9
        over = 1.0 / self.height_m
        denominator = np.column_stack(
            [m + (nx * self.x + ny * self.y) * over, -nx * over, -ny * over]
        )
        return Depth(np.column_stack([c, -nx, -ny]), denominator, front)


def satellite(off_nadir_deg: float, azimuth_deg: float, gsd_m: float) -> Parallel:
    """The view of a satellite; see `lean` for the angles."""
    east, north = lean_xy(off_nadir_deg, azimuth_deg)
    # The step from roof to footprint is (east, north); the image's rows run southwards.
    return Parallel(-east / gsd_m, north / gsd_m)


def frame_camera(
    off_nadir_deg: float,
    azimuth_deg: float,
    gsd_m: float,
    height_m: float,
    middle_xy: tuple[float, float],
) -> Central:
    """A camera at `height_m` that sees the middle of the scene under the given angles."""
    east, north = lean_xy(off_nadir_deg, azimuth_deg)
    return Central(
        middle_xy[0] + height_m * east / gsd_m, middle_xy[1] - height_m * north / gsd_m, height_m
    )


def sun_view(elevation_deg: float, azimuth_deg: float, gsd_m: float) -> Parallel:
    """The scene as the sun sees it: a shadow is 1 / tan(elevation) times as long as its caster.

    Raises:
        UsageError: the elevation is not above 5° and at most 90°.
    """
    if not 5 < elevation_deg <= 90:
        raise UsageError(
            f"got a sun elevation of {elevation_deg:g}°; expected above 5° and at most 90°",
            hint="images for mapping are taken between 25° and 75°",
        )
    length = 1.0 / math.tan(math.radians(elevation_deg)) if elevation_deg < 90 else 0.0
    azimuth = math.radians(azimuth_deg)
    return Parallel(-length * math.sin(azimuth) / gsd_m, length * math.cos(azimuth) / gsd_m)
