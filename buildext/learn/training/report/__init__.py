"""The report of one training run: one HTML page that needs nothing but a browser."""

from buildext.learn.training.report.report import REPORT_FILE, write_training_report

__all__ = ["REPORT_FILE", "write_training_report"]
