"""Experiments: candidates by seeds under one budget, from a plan file to runs on the test items."""

from harness.experiment.execute import run
from harness.experiment.plan import Plan, read

__all__ = ["Plan", "read", "run"]
