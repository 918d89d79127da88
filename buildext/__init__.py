"""Building footprints from very-high-resolution and off-nadir imagery.

The main job in one line:

    scene → tiles → engine → blended probabilities → polygons → file

Heavy libraries are imported where they are used, so `import buildext` is instant.
"""

__version__ = "0.1.0"
