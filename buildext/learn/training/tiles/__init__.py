"""Tiles: cut from scenes, changed, given targets, and handed on in batches."""
