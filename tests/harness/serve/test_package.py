"""package.json, read and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_support import PACKAGE, write_package

from harness.errors import EnvironmentProblem, UsageError
from harness.models.server import weights_digest
from harness.serve.package import parse, read


def test_fields() -> None:
    package = parse({**PACKAGE, "scores": {"anything": 1}}, "here")
    assert package.alias == "tutor"
    assert package.hint == PACKAGE["hint"]
    assert parse({name: value for name, value in PACKAGE.items() if name != "hint"}, "here").hint is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alias": ""}, "'alias' must be a text"),
        ({"alias": "../up"}, "not allowed"),
        ({"digest": 3}, "'digest' must be a text"),
        ({"system": {"zh": "x"}}, "'system' must have a text for zh and one for en"),
        ({"hint": {"zh": "x", "en": "y"}}, "{level}"),
        ({"max_new_tokens": 0}, "'max_new_tokens' must be"),
    ],
)
def test_what_is_no_package(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse({**PACKAGE, **change}, "here")


def test_other_weights_than_were_packaged_are_refused(tiny: Path) -> None:
    digest = weights_digest(str(tiny))
    write_package(tiny, digest=digest)
    assert weights_digest(str(tiny)) == digest, "package.json holds the digest and is no part of it"
    assert read(tiny).digest == digest
    config = json.loads((tiny / "config.json").read_text(encoding="utf-8"))
    (tiny / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-5}), encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match="does not hold the weights"):
        read(tiny)
    assert read(tiny, weighed=False).digest == digest


def test_a_checkpoint_that_nobody_packaged(tiny: Path) -> None:
    package = read(tiny)
    assert (package.alias, package.task, package.max_new_tokens) == ("tiny", "ds-trace", 160)
    assert package.digest == weights_digest(str(tiny))
    assert "提示等级 0" in package.system["zh"]


def test_a_folder_with_nothing(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"config\.json"):
        read(tmp_path)
    with pytest.raises(EnvironmentProblem, match="does not exist"):
        read(tmp_path / "none")
