"""The serving gateway: an engine behind one command, and in front of it guidance by the trained prompt, gates, limits,
metrics and a redacted log. `harness.serve.run.serve` starts it; [docs/serving.md](../../docs/serving.md)."""
