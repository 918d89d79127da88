"""Datasets: cards, scenes in memory, and how they are read, packed and mended."""
