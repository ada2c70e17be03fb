"""A checkpoint served by a process of its own on this machine: `transformers serve`, or vLLM from its own environment.

What `transformers serve` ignores or fails on (5.23): `response_format`; a temperature, unless the checkpoint's generation
config samples; adapter folders; `/v1/models` without a hub cache; every model name but the one it was started with.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from harness.digest import files_digest
from harness.errors import EnvironmentProblem, UsageError, require
from harness.models.checkpoint import folders
from harness.paths import slug

START_S = 600.0
"""Longest that loading may take"""
ENGINES = ["auto", "vllm", "transformers"]
PACKAGE = "package.json"
"""What `easyds package` says of a checkpoint, in its folder; no part of the weights' digest, which it holds"""
_MAIN = """
import sys, torch
from transformers.cli.transformers import main
from harness.models import w8a8
w8a8.install()
sys.argv += ["--device", "cuda" if torch.cuda.is_available() else "cpu"]
main()
"""
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
SECRETS = ("EASYDS_SERVE_KEYS", "EASYDS_ENGINE_KEY", "OPENAI_API_KEY", "EASYDS_JUDGE_KEY", "EASYDS_LOADTEST_KEY")
"""Keys that programs we start have no use for"""


class Server:
    """Serves one checkpoint on a free loopback port until `close`. `model` is the name that requests must carry: it
    names no place on the disk.

    Raises UsageError for an adapter, EnvironmentProblem for a checkpoint that does not load or without the engine.
    """

    def __init__(self, checkpoint: str, engine: str = "transformers", name: str | None = None) -> None:
        found = folders(checkpoint)
        if found.adapter is not None:
            raise UsageError(f"{checkpoint} is an adapter, which cannot be served. Merge it into its base first.")
        folder = found.base.resolve()
        self.engine = choose(engine)
        self.model = name or slug(folder.name)
        self._checkpoint = checkpoint
        self._work = tempfile.TemporaryDirectory(prefix="easyds-serve-")
        self._log = open(Path(self._work.name, "log.txt"), "w+b")  # noqa: SIM115  (closed by `close`)
        Path(self._work.name, self.model).symlink_to(folder)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/v1"
        command = _vllm if self.engine == "vllm" else _transformers
        self._process = subprocess.Popen(
            [*command(self.model), "--host", "127.0.0.1", "--port", str(port)],
            cwd=self._work.name,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=_environment(self._work.name),
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
            if self.ended():
                raise EnvironmentProblem(f"{self._checkpoint} could not be served: {self.last_line()}")
            try:
                if httpx2.get(health, timeout=2.0).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.2)
        raise EnvironmentProblem(f"{self._checkpoint} was not ready after {START_S:.0f} s.")

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def last_line(self) -> str:
        """What it printed last."""
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")
        if "transformers[serving]" in said:
            return "pip install 'transformers[serving]' first."
        return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it ended at once")[:300]

    def close(self) -> None:
        """Stop the server and all it started."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            if not self.ended():
                os.killpg(self._process.pid, kind)
                try:
                    self._process.wait(10)
                except subprocess.TimeoutExpired:
                    continue
        self._log.close()
        self._work.cleanup()


def choose(engine: str) -> str:
    """The engine meant: for `auto` vLLM where there are a GPU and its executable, else transformers.

    Raises UsageError for an unknown one, EnvironmentProblem for vLLM without its executable.
    """
    require("engine", engine, ENGINES, "--engine")
    if engine == "auto":
        return "vllm" if _executable() and _gpu() else "transformers"
    if engine == "vllm" and not _executable():
        raise EnvironmentProblem(
            "vLLM was not found. Install it in an environment of its own and put its 'vllm' on PATH or into EASYDS_VLLM."
        )
    return engine


def _executable() -> str | None:
    return shutil.which(os.environ.get("EASYDS_VLLM", "vllm"))


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _vllm(model: str) -> list[str]:
    """Decoding is what a request says, as in `easyds run`: not what the checkpoint's generation config adds to it."""
    settings = ["--generation-config", "vllm", "--uvicorn-log-level", "warning"]
    return [str(_executable()), "serve", f"./{model}", "--served-model-name", model, *settings]


def _transformers(model: str) -> list[str]:
    batching = ["--continuous-batching", "--cb-max-memory-percent", "0.1"]
    return [sys.executable, "-P", "-c", _MAIN, "serve", model, *batching]


def _environment(folder: str) -> dict[str, str]:
    """Ours, offline, with an empty hub cache and without keys."""
    kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
    # the checkpoint lies in the engine's own folder, under a name of its own choosing: nothing is imported from there
    return {**kept, **_OFFLINE, "HF_HUB_CACHE": folder, "PYTHONSAFEPATH": "1"}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def weights_digest(checkpoint: str) -> str:
    """What a checkpoint's answers depend on beside the prompts: weights, config, tokenizer and chat template."""
    base = folders(checkpoint).base
    settings = [path for path in base.glob("*.json") if path.name != PACKAGE]
    return files_digest([*base.glob("*.safetensors"), *settings, *base.glob("*.jinja")])
