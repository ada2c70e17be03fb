"""DAMR: the share of replies with the desired label, by tutor and dimension (Maurya et al. 2025, MRBench, NAACL)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.calibration.public import HumanLabelled
from harness.stats.intervals import Interval, clustered_rate

DESIRED = {
    "Mistake_Identification": "Yes",
    "Mistake_Location": "Yes",
    "Revealing_of_the_Answer": "No",
    "Providing_Guidance": "Yes",
    "Actionability": "Yes",
    "Coherence": "Yes",
    "Tutor_Tone": "Encouraging",
    "Humanlikeness": "Yes",
}


def damr(rows: Iterable[HumanLabelled]) -> Mapping[str, Mapping[str, Interval]]:
    """The rate of the desired label by tutor and dimension, with its interval over problems; n counts replies."""
    labels: dict[str, dict[str, list[tuple[bool, str]]]] = {}
    for row in rows:
        for name, wanted in DESIRED.items():
            if name in row.labels:
                labels.setdefault(row.system, {}).setdefault(name, []).append((row.labels[name] == wanted, row.problem))
    return {
        system: {name: clustered_rate(*zip(*found, strict=True)) for name, found in by_name.items()}  # type: ignore[arg-type]
        for system, by_name in labels.items()
    }
