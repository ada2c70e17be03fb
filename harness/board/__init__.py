"""The board of a task: what its runs measured, how they rank, whether differences are real."""

from harness.board.compare import Comparison, Contestant, compare, comparison_json, contestants
from harness.board.gates import conditions, gate, gate_all
from harness.board.metric import RATES, Frame, Metric, metrics, rate, rubric_values
from harness.board.publish import Merged, merge, publish_runs
from harness.board.rows import HEADLINE, TARGETS, UNRANKED, Board, Row, build, from_folder
from harness.board.slices import FEW, Slice, slices
from harness.board.table import Table, read, voice

__all__ = [
    "FEW",
    "HEADLINE",
    "RATES",
    "TARGETS",
    "UNRANKED",
    "Board",
    "Comparison",
    "Contestant",
    "Frame",
    "Merged",
    "Metric",
    "Row",
    "Slice",
    "Table",
    "build",
    "compare",
    "comparison_json",
    "conditions",
    "contestants",
    "from_folder",
    "gate",
    "gate_all",
    "merge",
    "metrics",
    "publish_runs",
    "rate",
    "read",
    "rubric_values",
    "slices",
    "voice",
]
