"""`easyds serve`: the gateway's packages looked for before it is started."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from harness.errors import EnvironmentProblem

NEEDED = ("aiohttp", "phonenumbers", "prometheus_client", "starlette", "stdnum", "uvicorn")


def serve(
    package: Path,
    host: str,
    port: int,
    engine_url: str | None,
    engine: str,
    log: Path | None,
    concurrency: int,
    timeout: float,
) -> None:
    """Raises EnvironmentProblem without the extra `serve`; else as `harness.serve.run.serve`."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise EnvironmentProblem(f"serving needs {', '.join(missing)}: pip install 'easyds-bench[serve]'.")
    from harness.serve.admission import Limits
    from harness.serve.run import serve as start

    start(package, host, port, engine_url, engine, log, Limits(concurrency, timeout))
