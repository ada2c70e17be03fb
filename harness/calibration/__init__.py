"""Scorers measured against people: agreement of a source with labels (`measure`)."""

from harness.calibration.measure import (
    PEOPLE,
    PUBLISHED,
    Calibration,
    Labelled,
    as_json,
    calibrate,
    labelled,
    macro_f1,
)

__all__ = ["PEOPLE", "PUBLISHED", "Calibration", "Labelled", "as_json", "calibrate", "labelled", "macro_f1"]
