"""One raster file: what it is, and how its pixels and their validity are read.

`inspect` opens a file once and writes down all that reading needs (`Source`), so that reader
threads can open their own handles later without asking again.

Validity is one mask per pixel, whatever way the file says it: nodata values (invalid where all
chosen bands equal theirs, as GDAL's dataset mask has it), an alpha band or a mask (internal or in a
`.msk` file) that is zero, NaN and infinity in any chosen band. A black border that nothing declares
is image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from buildext.errors import NoCrsError, SceneError
from buildext.grid.window import Window
from buildext.scene.access import check_complete, check_local, open_raster
from buildext.scene.bands import choose_bands

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.crs import CRS

    from buildext.scene.options import SceneOptions


@dataclass(frozen=True, slots=True)
class Source:
    """One raster file, closed.

    Attributes:
        name: path as given to GDAL.
        height: pixels.
        width: pixels.
        dtype: of the pixels as read (uint8 for an expanded palette).
        transform: pixel → CRS of the rows as read.
        crs: None with pixel units.
        upright: only control points place the file; it is read through `upright_view`.
        flipped: rows are read from the last to the first, since the file is south-up.
        colours: 1-based bands to read.
        alpha: band of the alpha channel.
        nodata: value for each of `colours`, None where it has none.
        has_mask: a mask that is neither nodata nor alpha.
        palette: colours `(256, 4)` of a paletted band.
    """

    name: str
    height: int
    width: int
    dtype: str
    transform: Affine
    crs: CRS | None
    upright: bool
    flipped: bool
    colours: tuple[int, ...]
    alpha: int | None
    nodata: tuple[float | None, ...]
    has_mask: bool
    palette: NDArray[np.uint8] | None

    @property
    def channels(self) -> int:
        """Bands of the arrays that `read` gives."""
        return len(self.colours) if self.palette is None else 3

    @property
    def warp_nodata(self) -> float | None:
        """The nodata value for GDAL's warper."""
        nodata = next((value for value in self.nodata if value is not None), None)
        if nodata is None and self.alpha is None and not self.has_mask:
            # Keeps NaN out of the averages of their neighbours.
            return float("nan") if np.dtype(self.dtype).kind == "f" else None
        return nodata

    def read(
        self, dataset: DatasetReader | WarpedVRT, window: Window
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Read a window that lies inside the file.

        Args:
            dataset: an open handle to this file, or a warped view of it.
            window: in rows as read: of the flipped file where it is south-up.

        Returns:
            Pixels `(C, H, W)` of `dtype`, and validity `(H, W)` or None where all are valid.
        """
        warped = isinstance(dataset, WarpedVRT)
        flipped = self.flipped and not warped
        row = self.height - window.row_stop if flipped else window.row
        place = rasterio.windows.Window(window.col, row, window.width, window.height)
        alpha = dataset.count if warped and self.alpha is None else self.alpha
        bands = [*self.colours, *([alpha] if alpha is not None else [])]
        pixels = dataset.read(bands, window=place)
        valid: NDArray[np.bool_] | None = None
        if alpha is not None:
            pixels, valid = pixels[:-1], pixels[-1] > 0
        if not warped:
            # A warped view has folded nodata and mask into its alpha band.
            valid = _both(valid, self._not_nodata(pixels))
            if self.has_mask:
                valid = _both(valid, dataset.read_masks(self.colours[0], window=place) > 0)
        if pixels.dtype.kind == "f":
            finite = np.isfinite(pixels).all(axis=0)
            valid = valid if finite.all() else _both(valid, finite)
        if self.palette is not None:
            colours = self.palette[pixels[0]]
            pixels = np.moveaxis(colours[..., :3], -1, 0)
            valid = _both(valid, colours[..., 3] > 0)
        if flipped:
            pixels = pixels[:, ::-1]
            valid = None if valid is None else valid[::-1]
        return pixels, valid

    def _not_nodata(self, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Where any band differs from its nodata value; None where none can equal it."""
        valid: NDArray[np.bool_] | None = None
        for band, nodata in zip(pixels, self.nodata, strict=True):
            if nodata is None:
                return None
            differs = band != pixels.dtype.type(nodata)
            valid = differs if valid is None else valid | differs
        return valid


def inspect(name: str, options: SceneOptions) -> Source:
    """Open `name`, check that it can serve as (part of) a scene, and note how to read it.

    Raises:
        SceneError: not a readable raster, complex pixels, no bands.
        NoCrsError: no CRS or no geotransform, and pixel units were not asked for.
        BandError: the bands do not fit.
    """
    if not options.allow_remote:
        check_local(name)
    with open_raster(name, options.allow_remote) as dataset:
        if dataset.count == 0:
            raise SceneError(f"{name}: no bands; expected an image", hint="name one subdataset")
        check_complete(dataset)
        choice = choose_bands(dataset, options.bands, options.n_bands)
        dtypes = {dataset.dtypes[b - 1] for b in choice.colours}
        dtype = dtypes.pop()
        if dtypes or np.dtype(dtype).kind not in "uif":
            kind = "bands of several types" if dtypes else f"{dtype} pixels"
            raise SceneError(f"{name}: {kind}; expected one type of real numbers")
        palette = _palette(dataset, choice.colours[0]) if choice.palette else None
        upright = _only_control_points(dataset)
        height, width, transform = dataset.height, dataset.width, dataset.transform
        crs = dataset.gcps[1] if upright else dataset.crs
        if upright:
            with upright_view(dataset, choice.palette, None) as view:
                height, width, transform = view.height, view.width, view.transform
        elif transform.is_identity or not crs:
            if not options.pixel_units:
                raise _no_place(dataset)
            crs = None
        # Mirrored rasters (south-up ones above all) are read bottom row first.
        flipped = not transform.is_identity and transform.determinant > 0
        if flipped:
            transform = transform @ Affine(1, 0, 0, 0, -1, height)
        nodata = tuple(
            _usable(value, dtype)
            for value in (
                [options.nodata] * len(choice.colours)
                if options.nodata is not None
                else [dataset.nodatavals[b - 1] for b in choice.colours]
            )
        )
        flags = dataset.mask_flag_enums[choice.colours[0] - 1]
        return Source(
            name=name,
            height=height,
            width=width,
            dtype=dtype if palette is None else "uint8",
            transform=transform,
            crs=crs,
            upright=upright,
            flipped=flipped,
            colours=choice.colours,
            alpha=choice.alpha,
            nodata=nodata,
            has_mask=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
            palette=palette,
        )


def upright_view(dataset: DatasetReader, palette: bool, nodata: float | None) -> WarpedVRT:
    """A file that only control points place, on the north-up grid that GDAL suggests for it.

    It has an alpha band, the file's own or a new last one.
    """
    return warped_view(
        dataset,
        crs=dataset.gcps[1],
        resampling=Resampling.nearest if palette else Resampling.bilinear,
        src_nodata=nodata,
        add_alpha=ColorInterp.alpha not in dataset.colorinterp,
    )


def warped_view(dataset: DatasetReader, **options: Any) -> WarpedVRT:
    """A dataset seen through GDAL's warper, with the settings that keep it exact."""
    return WarpedVRT(
        dataset,
        # As good as no approximation of the transformation (rasterio refuses 0 itself): the result
        # must not depend on the window.
        tolerance=1e-6,
        # A pixel is nodata where all its bands are, as everywhere else here.
        warp_extras={"UNIFIED_SRC_NODATA": "YES"},
        **options,
    )


def _only_control_points(dataset: DatasetReader) -> bool:
    points, crs = dataset.gcps
    return bool(points) and bool(crs) and dataset.transform.is_identity


def _no_place(dataset: DatasetReader) -> NoCrsError:
    missing = "geotransform" if dataset.transform.is_identity else "coordinate reference system"
    return NoCrsError(
        f"{dataset.name}: no {missing}; expected a georeferenced raster",
        hint="assign one (gdal_edit.py -a_srs …), or pass --pixel-units to work in pixels",
    )


def _palette(dataset: DatasetReader, band: int) -> NDArray[np.uint8]:
    if dataset.dtypes[band - 1] != "uint8":
        raise SceneError(f"{dataset.name}: a palette of {dataset.dtypes[band - 1]}; expected uint8")
    table = np.zeros((256, 4), np.uint8)
    for index, colour in dataset.colormap(band).items():
        table[index] = colour
    return table


def _usable(nodata: float | None, dtype: str) -> float | None:
    """`nodata` where a pixel of `dtype` can equal it (NaN is never valid anyway)."""
    if nodata is None or np.isnan(nodata):
        return None
    if np.dtype(dtype).kind == "f":
        return float(nodata)
    limits = np.iinfo(dtype)
    fits = float(nodata).is_integer() and limits.min <= nodata <= limits.max
    return float(nodata) if fits else None


def _both(
    first: NDArray[np.bool_] | None, second: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second
