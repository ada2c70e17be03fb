"""Scorers measured against people: agreement of a source with labels (`measure`), public labelled data (`public`), the
table of MRBench (`damr`)."""

from harness.calibration.measure import (
    PEOPLE,
    PUBLISHED,
    Calibration,
    Labelled,
    as_json,
    calibrate,
    examples,
    labelled,
    macro_f1,
)

__all__ = ["PEOPLE", "PUBLISHED", "Calibration", "Labelled", "as_json", "calibrate", "examples", "labelled", "macro_f1"]
