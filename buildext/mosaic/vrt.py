"""The probability of the whole mosaic as one raster: a VRT, a list of the blocks' files.

A virtual raster of GDAL is a text that says which file lies where. It is written here instead of
asking GDAL to build it, which would open every file; all that it says is known from the grid. Paths
in it are relative, so the folder can be moved.
See https://gdal.org/en/stable/drivers/raster/vrt.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from buildext.atomic import atomic_path
from buildext.grid.window import Window
from buildext.mosaic.grid import BlockId, MosaicGrid, probability_path


def write_vrt(path: Path, grid: MosaicGrid, blocks: Sequence[BlockId]) -> Window:
    """Write a virtual raster over blocks.

    Args:
        path: of the VRT, in the folder of the mosaic.
        grid: the lattice.
        blocks: at least one; those that have a file of probability.

    Returns:
        The pixels of the lattice that the raster covers.

    Raises:
        OutputError: the file cannot be written.
    """
    extent = extent_of(grid, blocks)
    with atomic_path(path, overwrite=True) as temporary, temporary.open("w") as file:
        file.writelines(f"{line}\n" for line in _lines(path.parent, grid, blocks, extent))
    return extent


def extent_of(grid: MosaicGrid, blocks: Sequence[BlockId]) -> Window:
    """The smallest window that holds some blocks."""
    windows = [grid.window(block) for block in blocks]
    row, col = min(w.row for w in windows), min(w.col for w in windows)
    height = max(w.row_stop for w in windows) - row
    width = max(w.col_stop for w in windows) - col
    return Window(row, col, height, width)


def _lines(out: Path, grid: MosaicGrid, blocks: Sequence[BlockId], extent: Window) -> Iterator[str]:
    yield f'<VRTDataset rasterXSize="{extent.width}" rasterYSize="{extent.height}">'
    yield f'<SRS dataAxisToSRSAxisMapping="1,2">{escape(grid.crs_wkt)}</SRS>'
    a, b, c, d, e, f = grid.transform_of(extent)[:6]
    yield f"<GeoTransform>{', '.join(repr(float(v)) for v in (c, a, b, f, d, e))}</GeoTransform>"
    for number, channel in enumerate(grid.channels, 1):
        yield f'<VRTRasterBand dataType="Byte" band="{number}">'
        yield f"<Description>{escape(channel)}</Description>"
        yield "<ColorInterp>Gray</ColorInterp>"
        yield f"<Scale>{1 / 255!r}</Scale>"
        yield from _sources(out, grid, blocks, extent, str(number))
        yield "</VRTRasterBand>"
    yield '<MaskBand><VRTRasterBand dataType="Byte">'
    yield from _sources(out, grid, blocks, extent, "mask,1")
    yield "</VRTRasterBand></MaskBand>"
    yield "</VRTDataset>"


def _sources(
    out: Path, grid: MosaicGrid, blocks: Sequence[BlockId], extent: Window, band: str
) -> Iterator[str]:
    size = grid.block_px
    for block in sorted(blocks):
        name = probability_path(out, block).relative_to(out).as_posix()
        window = grid.window(block).shifted(-extent.row, -extent.col)
        # What the file's own header says; without it GDAL opens every file to ask.
        about = f"RasterXSize={quoteattr(str(size))} RasterYSize={quoteattr(str(size))}"
        yield "<SimpleSource>"
        yield f'<SourceFilename relativeToVRT="1">{escape(name)}</SourceFilename>'
        yield f"<SourceBand>{band}</SourceBand>"
        yield f'<SourceProperties {about} DataType="Byte"/>'
        yield f'<SrcRect xOff="0" yOff="0" xSize="{size}" ySize="{size}"/>'
        yield (f'<DstRect xOff="{window.col}" yOff="{window.row}" xSize="{size}" ySize="{size}"/>')
        yield "</SimpleSource>"
