"""A judge of one's own weights: `transformers serve` on this machine, in a process of its own, spoken to like any vendor.

What the server ignores or fails on (transformers 5.23): `response_format`; adapter folders; `/v1/models` without a hub
cache; every model name but the very path that it was started with.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import httpx2

from harness.digest import files_digest
from harness.errors import EnvironmentProblem, UsageError
from harness.models import hf

START_S = 300.0
"""Longest that loading may take"""


class Server:
    """Serves one checkpoint on a free loopback port until `close`. `model` is the name that requests must carry.

    Raises UsageError for an adapter, EnvironmentProblem for a checkpoint that does not load or without the server's
    packages.
    """

    def __init__(self, checkpoint: str) -> None:
        found = hf.folders(checkpoint)
        if found.adapter is not None:
            raise UsageError(f"{checkpoint} is an adapter, which cannot be served. Merge it into its base first.")
        self.model = str(found.base.resolve())
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", self.model]
        flags = [
            "--continuous-batching",
            "--cb-max-memory-percent",
            "0.1",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--device",
            hf.device("auto"),
        ]
        self._process = subprocess.Popen(
            [*command, *flags],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "HF_HUB_CACHE": tempfile.gettempdir(),
                "TRANSFORMERS_OFFLINE": "1",
            },
            start_new_session=True,
        )
        try:
            self._wait(f"http://127.0.0.1:{port}/health")
        except BaseException:
            self.close()
            raise

    def _wait(self, health: str) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise EnvironmentProblem(f"{self.model} could not be served: {self._last_line()}")
            try:
                if httpx2.get(health, timeout=2.0).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.2)
        raise EnvironmentProblem(f"{self.model} was not ready to judge after {START_S:.0f} s.")

    def _last_line(self) -> str:
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")
        if "transformers[serving]" in said:
            return "pip install 'easyds-bench[judge]' first."
        return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it ended at once")[:300]

    def close(self) -> None:
        """Stop the server and all it started."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                os.killpg(self._process.pid, kind)
                try:
                    self._process.wait(10)
                except subprocess.TimeoutExpired:
                    continue
        self._log.close()


def weights_digest(checkpoint: str) -> str:
    """What a local judge's verdicts depend on beside the prompts: weights, config, tokenizer and chat template."""
    base = hf.folders(checkpoint).base
    return files_digest([*base.glob("*.safetensors"), *base.glob("*.json"), *base.glob("*.jinja")])
