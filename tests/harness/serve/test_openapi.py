"""The gateway's OpenAPI document, and requests that schemathesis makes up from it."""

from __future__ import annotations

import schemathesis
from endpoint import Endpoint
from gateway_support import Gateway
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

EXAMPLES = 40


def test_no_request_makes_an_error_of_the_gateway_s_own(front: Gateway, engine: Endpoint) -> None:
    """Right bodies and wrong ones, on every route: no 5xx, and every answer as the document says."""
    document = schemathesis.openapi.from_url(f"{front.url}/openapi.json")
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
    asked = []

    for found in document.get_all_operations():
        operation = found.ok()

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @schemathesis.hypothesis_given(operation)
        def one(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=front.url, checks=checks)

        one()
        asked.append(operation.path)
    assert len(asked) == 6
