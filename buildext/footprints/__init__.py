"""Footprints: from probability blocks to building polygons, shaped, measured and written."""
