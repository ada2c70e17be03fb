"""Reports: what an experiment found, readable by whoever decides and checkable by whoever doubts."""

from harness.report.facts import facts
from harness.report.write import render, write

__all__ = ["facts", "render", "write"]
