"""The report of an evaluation: a page to send, and layers of errors to work through in a GIS."""

from buildext.evaluate.report.error_layers import check_layers_path, write_error_layers
from buildext.evaluate.report.sheet import require_drawing, write_report

__all__ = [
    "check_layers_path",
    "require_drawing",
    "write_error_layers",
    "write_report",
]
