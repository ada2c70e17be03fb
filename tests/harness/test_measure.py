"""What the machine did."""

from __future__ import annotations

import numpy as np

from harness import digest, measure
from harness.types import Decoding


def test_peak_memory_sees_what_was_used_since_the_reset() -> None:
    measure.reset_peak_memory()
    before = measure.peak_memory()["host"]
    block = np.ones(64 * 2**20, dtype=np.uint8)
    after = measure.peak_memory()["host"]
    assert after - before >= 50 * 2**20
    del block
    assert measure.peak_memory()["host"] == after or measure.peak_memory()["host"] > after - 2**20


def test_hardware_and_versions() -> None:
    assert measure.hardware()["cores"] >= 1
    assert measure.hardware()["memory_bytes"] > 2**28
    assert {"python", "easyds-bench", "torch", "transformers"} <= set(measure.versions())


def test_digest_ignores_order_and_sees_content(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert digest.digest({"a": 1, "b": [1, 2]}) == digest.digest({"b": [1, 2], "a": 1})
    assert digest.digest({"a": 1}) != digest.digest({"a": 2})
    assert digest.digest(Decoding()) != digest.digest(Decoding(seed=1))
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    both = digest.files_digest([one, two])
    assert digest.files_digest([two, one]) == both
    one.write_bytes(b"2")
    two.write_bytes(b"1")
    assert digest.files_digest([one, two]) != both, "which file holds what counts"
