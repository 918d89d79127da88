"""Buildext for QGIS: the command `buildext` as algorithms of the Processing toolbox.

    layers → files that another process can open → buildext in its own environment → layers

Nothing of buildext runs inside QGIS. Its libraries (NumPy, GDAL, an inference engine) would meet
those of QGIS in other versions, and a crash would take the user's project along. The plugin starts
the command, reads its progress line by line, and hands the result back as a layer.

    runner.py, environment.py, installation.py    processes and environments; no word of QGIS
    inputs.py, rendering.py                       layers of any kind as files
    algorithms/                                   one algorithm a file
    plugin.py, setup_dialog.py, try_it.py         what the desktop shows
"""

from __future__ import annotations


def classFactory(iface):
    """Make the plugin; `iface` is None in `qgis_process`."""
    from .plugin import BuildextPlugin

    return BuildextPlugin(iface)
