"""Pure geometry of rasters: windows, tile grids and blending tapers. No input or output."""
