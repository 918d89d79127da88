"""OpenVINO's own format: a pair of files that its runtime reads without converting anything."""

from __future__ import annotations

import tempfile
from pathlib import Path

from buildext.atomic import as_output_error
from buildext.engines.openvino import import_openvino, shared_core


def write_ir(weights: Path, out: Path, tile_px: int | None = None) -> None:
    """Convert an ONNX model.

    Args:
        weights: the ONNX file.
        out: the `.xml`; the weights go beside it as `.bin`.
        tile_px: height and width of the one tile that the result takes; any where None.

    Raises:
        OutputError: the files cannot be written.
    """
    openvino = import_openvino()
    model = shared_core().read_model(weights)
    if tile_px is not None:
        channels = model.input(0).get_partial_shape()[1].get_length()
        model.reshape([1, channels, tile_px, tile_px])
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".ir-") as folder:
            made = Path(folder) / out.name
            openvino.save_model(model, made, compress_to_fp16=True)
            # The weights first: an .xml without them would look complete.
            made.with_suffix(".bin").replace(out.with_suffix(".bin"))
            made.replace(out)
    except (OSError, RuntimeError) as error:
        raise as_output_error(error, out) from error
