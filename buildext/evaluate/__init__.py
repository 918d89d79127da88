"""Evaluation: how good a prediction is, overall and for each building height class.

    footprints + reference → matches → scores per height class → report

`evaluate_files` compares two files, vector layers or masks, and returns an `Evaluation`;
`format_table` shows it. Definitions stand in `docs/metrics.md`.
"""

from buildext.evaluate.frame import Frame
from buildext.evaluate.options import Bounds, EvaluateOptions
from buildext.evaluate.run import evaluate_files
from buildext.evaluate.scores import Evaluation
from buildext.evaluate.table import format_table

__all__ = ["Bounds", "EvaluateOptions", "Evaluation", "Frame", "evaluate_files", "format_table"]
