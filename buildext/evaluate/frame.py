"""The frame: which piece of the ground is scored, and on which pixels.

A frame is a raster grid (CRS, transform, size). Its *ground plane* has its origin at the grid's
upper left corner, x along the columns and y down the rows, both in metres. Polygons of both layers
are brought into that plane once; from there on areas are m², distances are metres and a pixel
centre is ((col + 0.5)·gx, (row + 0.5)·gy), whatever CRS the files came in.

The plane is an affine image of the CRS, and intersection over union does not change under an
affine map, so no equal-area projection is needed. The size of a pixel on the ground is measured
once, at the middle of the frame; web Mercator's 1/cos(latitude) and degrees disappear there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

from buildext.errors import InputError
from buildext.grid.window import Window

# A projected CRS is taken at its word unless its scale is off by more than this: UTM's 0.9996 is
# not worth a pixel of 0.30012 m, web Mercator is.
_NOMINAL_SCALE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Frame:
    """The scored grid.

    Attributes:
        crs: the grid's CRS.
        transform: (col, row) in pixels → coordinates of `crs`.
        height: rows.
        width: columns.
        pixel_xy_m: size of a pixel on the ground along columns and rows, in metres.
        source: where the frame comes from, for the report.
    """

    crs: pyproj.CRS
    transform: Affine
    height: int
    width: int
    pixel_xy_m: tuple[float, float]
    source: str

    @classmethod
    def of(
        cls, crs: object, transform: Affine, height: int, width: int, source: str = "given grid"
    ) -> Frame:
        """The frame of a raster; `crs` is anything that pyproj or rasterio calls a CRS."""
        proj = pyproj.CRS.from_user_input(crs)
        return cls(
            proj, transform, height, width, pixel_on_ground(proj, transform, height, width), source
        )

    @property
    def extent_xy_m(self) -> tuple[float, float]:
        """Width and height of the frame in metres."""
        return self.width * self.pixel_xy_m[0], self.height * self.pixel_xy_m[1]

    @property
    def box(self) -> shapely.Polygon:
        """The frame's rectangle in its ground plane."""
        return shapely.box(0.0, 0.0, *self.extent_xy_m)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the frame's corners in its CRS."""
        corners = [(0, 0), (self.width, 0), (0, self.height), (self.width, self.height)]
        xs, ys = zip(*(_apply(self.transform, *corner) for corner in corners), strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def window_box(self, window: Window) -> shapely.Polygon:
        """A window's rectangle in the ground plane."""
        gx, gy = self.pixel_xy_m
        return shapely.box(
            window.col * gx, window.row * gy, window.col_stop * gx, window.row_stop * gy
        )

    def to_plane(self, geometries: NDArray[np.object_], crs: pyproj.CRS) -> NDArray[np.object_]:
        """Bring geometries of `crs` into the ground plane.

        Raises:
            InputError: some coordinates cannot be projected into the frame's CRS.
        """
        if len(geometries) == 0:
            return geometries
        same = crs == self.crs
        project = None if same else pyproj.Transformer.from_crs(crs, self.crs, always_xy=True)
        inverse = ~self.transform
        gx, gy = self.pixel_xy_m

        def bring(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            x, y = xy[:, 0], xy[:, 1]
            if project is not None:
                x, y = project.transform(x, y)
            cols = inverse.a * x + inverse.b * y + inverse.c
            rows = inverse.d * x + inverse.e * y + inverse.f
            return np.column_stack([cols * gx, rows * gy])

        moved: NDArray[np.object_] = shapely.transform(geometries, bring)
        if not np.isfinite(shapely.total_bounds(moved)).all():
            raise InputError(
                f"got coordinates that {crs.name} cannot bring to {self.crs.name}",
                hint="check that the layer's CRS is the one its coordinates are in",
            )
        return moved

    def from_plane(self, geometries: NDArray[np.object_]) -> NDArray[np.object_]:
        """Bring geometries of the ground plane into the frame's CRS: `to_plane` undone."""
        gx, gy = self.pixel_xy_m
        t = self.transform

        def bring(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            cols, rows = xy[:, 0] / gx, xy[:, 1] / gy
            return np.column_stack([t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f])

        moved: NDArray[np.object_] = shapely.transform(geometries, bring)
        return moved

    def to_east_north(self, steps_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn steps along columns and rows `(N, 2)` into steps east and north on the grid."""
        t = self.transform
        axes = np.array([[t.a, t.d], [t.b, t.e]])
        axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
        turned: NDArray[np.float64] = steps_m @ axes
        return turned


def _apply(transform: Affine, col: float, row: float) -> tuple[float, float]:
    # Written out: the operator for it changed between affine 2 (*) and affine 3 (@).
    t = transform
    return t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f


def pixel_on_ground(
    crs: pyproj.CRS, transform: Affine, height: int, width: int
) -> tuple[float, float]:
    """Metres covered by one pixel along columns and rows at the middle of a raster.

    Measured along the WGS 84 ellipsoid; a projected CRS whose own unit is right within 1 % is
    taken at its word, so that 0.3 m stay 0.3 m.
    """
    middle_col, middle_row = width / 2, height / 2
    points = [
        _apply(transform, middle_col, middle_row),
        _apply(transform, middle_col + 1, middle_row),
        _apply(transform, middle_col, middle_row + 1),
    ]
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    xs, ys = zip(*points, strict=True)
    lons, lats = to_lonlat.transform(xs, ys)
    if not np.isfinite(lons + lats).all():
        raise InputError(
            f"got a grid whose middle lies outside the area of {crs.name}",
            hint="check the CRS and the transform of the raster",
        )
    geod = pyproj.Geod(ellps="WGS84")
    true = [geod.inv(lons[0], lats[0], lons[i], lats[i])[2] for i in (1, 2)]
    if not crs.is_projected:
        return float(true[0]), float(true[1])
    unit_m = crs.axis_info[0].unit_conversion_factor
    nominal = (
        math.hypot(transform.a, transform.d) * unit_m,
        math.hypot(transform.b, transform.e) * unit_m,
    )
    right = all(
        abs(t / n - 1) < _NOMINAL_SCALE_TOLERANCE for t, n in zip(true, nominal, strict=True)
    )
    return nominal if right else (float(true[0]), float(true[1]))


def metre_frame(
    crs: pyproj.CRS, bounds: tuple[float, float, float, float], resolution_m: float, source: str
) -> Frame:
    """A north-up frame over a rectangle of `crs` with pixels of `resolution_m` on the ground.

    The rectangle grows right- and downwards to whole pixels.
    """
    west, south, east, north = bounds
    # One big pixel over the rectangle tells how long its sides are on the ground.
    unit = Affine(1e-3 * (east - west), 0, west, 0, -1e-3 * (north - south), north)
    if not (east > west and north > south):
        raise InputError(
            f"got the extent {west:g}, {south:g}, {east:g}, {north:g}; "
            "expected west < east and south < north"
        )
    step_x_m, step_y_m = pixel_on_ground(crs, unit, 1000, 1000)
    pixel_x = unit.a * resolution_m / step_x_m
    pixel_y = -unit.e * resolution_m / step_y_m
    # A hair below the next whole number: 300.0000001 pixels are 300.
    width = max(1, math.ceil((east - west) / pixel_x - 1e-6))
    height = max(1, math.ceil((north - south) / pixel_y - 1e-6))
    transform = Affine(pixel_x, 0, west, 0, -pixel_y, north)
    return Frame(crs, transform, height, width, (resolution_m, resolution_m), source)
