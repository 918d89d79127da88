"""The report of an evaluation: a page to send, and layers of errors to work through in a GIS."""

from buildext.evaluate.report.findings import Findings
from buildext.evaluate.report.gather import gather
from buildext.evaluate.report.sheet import require_drawing, write_report

__all__ = ["Findings", "gather", "require_drawing", "write_report"]
