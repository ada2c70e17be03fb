"""What is counted, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60)


class Metrics:
    """One gateway's counters. Routes, statuses and gates are the only labels, so that their number is bounded."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "Requests by route and status.", "route", "status")
        self.seconds = Histogram(
            "easyds_request_seconds",
            "From the request's head to the last byte of the answer.",
            ["route"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.in_flight = Gauge("easyds_in_flight", "Requests at work in the engine.", registry=self.registry)
        self.gates = self._counter("gate_checks", "Answers by gate and result.", "gate", "result")
        self.regenerated = self._counter("regenerated", "Answers asked for a second time.")
        self.fallbacks = self._counter("fallbacks", "Safe hints sent in place of an answer.", "language")
        self.tokens = self._counter("tokens", "Tokens as the engine counts them.", "kind")
        self.feedback = self._counter("feedback", "Feedback received.")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"easyds_{name}", text, labels, registry=self.registry)

    def gate(self, verdicts: dict[str, bool | None]) -> None:
        """Count the gates of one answer that were checked."""
        for gate, passed in verdicts.items():
            if passed is not None:
                self.gates.labels(gate, "pass" if passed else "fail").inc()

    def used(self, usage: dict[str, int] | None) -> None:
        for kind in ("prompt", "completion"):
            if usage:
                self.tokens.labels(kind).inc(usage[f"{kind}_tokens"])

    def text(self) -> bytes:
        return generate_latest(self.registry)
