"""The lean: where a point above the ground appears in an orthographic oblique view.

Seen from θ off nadir, a roof at the height h covers the ground that lies behind it. In an image
that is rectified to the ground it is therefore drawn h · tan θ away from its footprint, on the
side that is farther from the sensor:

    footprint = roof + h · tan θ · (sin α, cos α)

α is the azimuth of the sensor as seen from the ground, clockwise from north, as the metadata of
satellite images give it (`meanSatAz`, `view:azimuth` in STAC); θ is measured at the ground
(90° less the sensor's elevation), which for a satellite is some degrees more than at the sensor.
"""

from __future__ import annotations

import math

from buildext.errors import UsageError

STEEPEST_DEG = 60.0


def lean_xy(off_nadir_deg: float, azimuth_deg: float) -> tuple[float, float]:
    """East and north of the step from roof to footprint, in metres per metre of height.

    Raises:
        UsageError: an angle of 60° or more, where facades hide everything, or below zero.
    """
    if not 0 <= off_nadir_deg < STEEPEST_DEG:
        raise UsageError(
            f"got an off-nadir angle of {off_nadir_deg:g}°; expected 0 to below {STEEPEST_DEG:g}°",
            hint="images for mapping are rarely taken beyond 45°",
        )
    length = math.tan(math.radians(off_nadir_deg))
    azimuth = math.radians(azimuth_deg)
    return length * math.sin(azimuth), length * math.cos(azimuth)
