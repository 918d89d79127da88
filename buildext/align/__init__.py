"""Moving labels to where a probability raster shows their buildings: geometry, and no network.

    probability + labels → scores of all shifts → agreement of neighbours → moved labels

`align_shapes` works on arrays in memory, for training as for anybody; `align_layer` on files.
"""

from buildext.align.options import AlignOptions
from buildext.align.shapes import Alignment, align_shapes, align_windows

__all__ = ["AlignOptions", "Alignment", "align_shapes", "align_windows"]
