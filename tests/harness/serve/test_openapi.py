"""The gateway's OpenAPI document, and requests that schemathesis makes up from it."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from endpoint import Endpoint
from gateway_support import Gateway
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

EXAMPLES = 60
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_makes_an_error_of_the_gateway_s_own(front: Gateway, engine: Endpoint, mode: GenerationMode) -> None:
    """Right requests and wrong ones, on every route: no 5xx, and every answer as the document says."""
    document = schemathesis.openapi.from_url(f"{front.url}/openapi.json")
    statuses: dict[str, set[int]] = {}
    for found in document.get_all_operations():
        operation = found.ok()
        if mode == GenerationMode.NEGATIVE and operation.method.upper() != "POST":
            continue  # nothing about a bare GET can be wrong
        statuses[operation.path] = _asked(operation, mode, front.url)
    if mode == GenerationMode.POSITIVE:
        assert len(statuses) == 6
        assert all(200 in seen for seen in statuses.values()), statuses
    else:
        assert all(seen & {400, 422} for seen in statuses.values()), statuses


def _asked(operation: Any, mode: GenerationMode, url: str) -> set[int]:
    """The statuses of some requests. Raises AssertionError for an answer that is not as it should be."""
    seen: set[int] = set()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: schemathesis.Case) -> None:
        seen.add(case.call_and_validate(base_url=url, checks=CHECKS).status_code)

    one()
    return seen
