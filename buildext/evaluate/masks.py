"""Masks in: a single-band raster in which every value above 0 is building.

The mask is brought onto the frame's grid (nearest neighbour where the grids differ) into a small
temporary raster of three codes, window by window. GDAL then polygonises that file line by line, so
that neither step holds the whole mask.

A nodata tag of 0 says nothing that a mask does not say already, and is ignored. Any other nodata
value (and NaN) marks pixels that nobody labelled: in a reference they are not scored, in a
prediction they are no building.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.errors import BandError, MissingInputError, NoCrsError, SceneError
from buildext.evaluate.frame import Frame
from buildext.evaluate.layers import windows_of
from buildext.grid.window import Window

RASTER_SUFFIXES = {".tif", ".tiff", ".vrt", ".img", ".png", ".jp2", ".bmp", ".asc"}

_GROUND, _BUILDING, _UNLABELLED = 0, 1, 2
_BLOCK_PX = 512


def is_raster(path: Path) -> bool:
    """Whether a file name is that of a raster."""
    return path.suffix.lower() in RASTER_SUFFIXES


def raster_frame(path: Path, source: str) -> Frame:
    """The grid of a raster file as a frame.

    Raises:
        MissingInputError: no such file.
        SceneError: not a raster.
        NoCrsError: the raster has no CRS.
    """
    with open_raster(path) as raster:
        return Frame.of(raster.crs.to_wkt(), raster.transform, raster.height, raster.width, source)


def open_raster(path: Path):  # type: ignore[no-untyped-def]  # rasterio ships no types
    """Open a raster that has a CRS; errors as in `raster_frame`."""
    import rasterio
    from rasterio.errors import RasterioIOError

    if not path.exists():
        raise MissingInputError(f"no such file: {path}", hint="check the name and the folder")
    try:
        raster = rasterio.open(path)
    except RasterioIOError as error:
        raise SceneError(
            f"{path} cannot be read as a raster: {error}", hint="give a GeoTIFF or a vector file"
        ) from error
    if raster.crs is None:
        raster.close()
        raise NoCrsError(
            f"{path} has no CRS; expected one", hint="assign it, for example with gdal_edit -a_srs"
        )
    return raster


class MaskLayer:
    """A mask on the frame's grid.

    Args:
        path: the mask file.
        frame: the scored grid.
        codes: file name for the temporary raster; the caller removes it.

    Attributes:
        objects: connected components of building pixels as polygons in the ground plane.
        unlabelled: polygons of the pixels with a nodata value other than 0.
        notes: what a user should know about how the mask was read.

    Raises:
        BandError: the raster has more than one band.
        SceneError: the raster cannot be read to its end.
    """

    def __init__(self, path: Path, frame: Frame, codes: Path) -> None:
        import rasterio
        from rasterio.errors import RasterioIOError

        self.frame = frame
        self.notes: tuple[str, ...] = ()
        try:
            self._encode(path, codes)
        except RasterioIOError as error:
            raise SceneError(
                f"{path} cannot be read to its end: {error}", hint="is the file complete?"
            ) from error
        self._codes = rasterio.open(codes)
        self.objects, self.unlabelled = self._polygonise()

    def __enter__(self) -> MaskLayer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._codes.close()

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels of a window are building, `(h, w)`."""
        from rasterio.windows import Window as RasterWindow

        codes: NDArray[np.uint8] = self._codes.read(
            1, window=RasterWindow(window.col, window.row, window.width, window.height)
        )
        building: NDArray[np.bool_] = codes == _BUILDING
        return building

    def _encode(self, path: Path, codes: Path) -> None:
        """Write the mask's three codes onto the frame's grid."""
        import rasterio
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT
        from rasterio.windows import Window as RasterWindow

        frame = self.frame
        grid = {
            "crs": rasterio.crs.CRS.from_wkt(frame.crs.to_wkt()),
            "transform": frame.transform,
            "height": frame.height,
            "width": frame.width,
        }
        with open_raster(path) as source:
            if source.count != 1:
                raise BandError(
                    f"{path} has {source.count} bands; expected a mask of one band",
                    hint="give the building band alone",
                )
            nodata = source.nodata
            if nodata == 0:
                self.notes += (f"{path.name}: the nodata tag 0 is ignored; 0 is no building",)
                nodata = None
            profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "compress": "deflate"}
            profile |= {"zlevel": 1, "tiled": True, "bigtiff": "IF_SAFER", **grid}
            profile |= {"blockxsize": _BLOCK_PX, "blockysize": _BLOCK_PX}
            lowest, highest = np.inf, 0.0
            with (
                WarpedVRT(source, resampling=Resampling.nearest, nodata=nodata, **grid) as warped,
                rasterio.open(codes, "w", **profile) as out,
            ):
                for window in windows_of(frame, _BLOCK_PX):
                    where = RasterWindow(window.col, window.row, window.width, window.height)
                    values = warped.read(1, window=where)
                    unlabelled = np.isnan(values) if values.dtype.kind == "f" else False
                    if nodata is not None:
                        unlabelled = unlabelled | (values == nodata)
                    building = (values > 0) & ~np.asarray(unlabelled)
                    if building.any():
                        lowest = min(lowest, float(values[building].min()))
                        highest = max(highest, float(values[building].max()))
                    coded = np.where(building, _BUILDING, _GROUND).astype(np.uint8)
                    coded[np.broadcast_to(unlabelled, coded.shape)] = _UNLABELLED
                    out.write(coded, 1, window=where)
        if lowest < highest:
            self.notes += (
                f"{path.name} holds values from {lowest:g} to {highest:g}; all above 0 count as "
                "building (threshold a probability raster first)",
            )

    def _polygonise(self) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        """Connected components of building, and of unlabelled pixels, in the ground plane."""
        import rasterio
        from rasterio.features import shapes

        found: dict[int, list[shapely.Geometry]] = {_BUILDING: [], _UNLABELLED: []}
        band = rasterio.band(self._codes, 1)
        # The band is its own mask: no polygon is made of the ground.
        for geometry, code in shapes(band, mask=band, connectivity=4):
            found[int(code)].append(shapely.geometry.shape(geometry))
        building, unlabelled = (
            self.frame.to_plane(np.array(polygons, dtype=object), self.frame.crs)
            for polygons in found.values()
        )
        return building, unlabelled
