"""A tiny checkpoint behind `transformers serve` behind the gateway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from gateway_support import QUESTION, gateway, until
from support import command, easyds, read_jsonl

from harness.models import Options
from harness.models.hf import HFModel
from harness.models.server import Server, weights_digest
from harness.serve.guidance import prompt
from harness.serve.package import read
from harness.serve.requests import Ask
from harness.types import Decoding, Item, KeyPoints, Request


@pytest.mark.slow
def test_what_is_served_is_what_easyds_run_sees(tiny: Path, tmp_path: Path) -> None:
    """The same tokens go in and the same text comes out as when the benchmark runs the checkpoint itself."""
    turns = prompt(read(tiny), Ask(QUESTION, "en", 1))
    model = HFModel(str(tiny), Options())
    item = Item("one", "one", "en", "", 1, "test", 1, turns[1:], KeyPoints("", "", ()), "")
    (own,) = model.generate([Request(item, 0, turns)], Decoding(max_new_tokens=24))
    log = tmp_path / "log.jsonl"
    with gateway(tiny, "--engine", "transformers", "--log", log) as front:
        assert "transformers at http://127.0.0.1" in front.said[-1]
        assert any("do_sample" in line for line in front.said)
        assert front.ask("/healthz").json["digest"] == weights_digest(str(tiny))
        messages = [{"role": one.role, "content": one.content} for one in turns]
        asked = {"model": "tiny", "messages": messages, "temperature": 0, "max_tokens": 24}
        whole = front.ask("/v1/chat/completions", asked).json
        assert whole["choices"][0]["message"]["content"].strip() == own.text
        assert str(tmp_path) not in str(whole)
        body = front.guidance(hint_level=1).json
        times = 2 if body["regenerated"] else 1
        assert body["usage"]["prompt_tokens"] == times * len(model.tokens(turns))
        streamed = front.ask("/v1/chat/completions", {**asked, "stream": True}).body
        assert streamed.count(b"data: ") > 2
        engine = psutil.Process(front.process.pid).children()
        assert front.stop() == 0
        assert not any(one.is_running() for one in engine), "the engine outlived the gateway"
    assert [row["kind"] for row in read_jsonl(log)] == ["chat", "guidance", "chat"]
    assert read_jsonl(log)[2]["answer"].strip() == own.text


@pytest.mark.slow
def test_the_end_of_the_engine_is_the_end_of_the_gateway(tiny: Path) -> None:
    path = tiny / "generation_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**config, "do_sample": True, "repetition_penalty": 1.1}), encoding="utf-8")
    with gateway(tiny, "--engine", "transformers") as front:
        assert any("repetition_penalty" in line for line in front.said)
        assert not any("do_sample" in line for line in front.said)
        (engine,) = psutil.Process(front.process.pid).children()
        engine.kill()
        assert front.ended() == 3
        assert "the engine ended by itself" in front.said[-1]


@pytest.mark.slow
def test_stopped_while_the_engine_loads(tiny: Path) -> None:
    """Nothing is left behind."""
    with subprocess.Popen(
        command("serve", tiny, "--engine", "transformers", "--port", "0"), stderr=subprocess.PIPE
    ) as process:
        own = psutil.Process(process.pid)
        until(lambda: bool(own.children()))
        (engine,) = own.children()
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    assert not engine.is_running()


def test_vllm_without_its_executable(tiny: Path) -> None:
    done = easyds("serve", tiny, "--engine", "vllm", "--port", "0", env={"PATH": "/nowhere"})
    assert done.returncode == 3
    assert "EASYDS_VLLM" in done.stderr


VLLM = """#!{python}
import sys
assert sys.argv[1] == "serve"
place, (flag, name) = sys.argv[2], sys.argv[3:5]
assert flag == "--served-model-name" and place == "./" + name
assert sys.argv[sys.argv.index("--generation-config") + 1] == "vllm"
import json, os
assert json.load(open(place + "/config.json"))["model_type"] == "qwen2"
assert os.environ["HF_HUB_OFFLINE"] == "1" and "EASYDS_SERVE_KEYS" not in os.environ
port = int(sys.argv[sys.argv.index("--port") + 1])
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def test_how_vllm_is_started(tiny: Path, tmp_path: Path) -> None:
    """A stand-in with vLLM's command line: it is given the checkpoint, the alias and no keys."""
    vllm = tmp_path / "vllm"
    vllm.write_text(VLLM.format(python=sys.executable), encoding="utf-8")
    vllm.chmod(0o755)
    keys = {"EASYDS_VLLM": str(vllm), "EASYDS_SERVE_KEYS": "planted"}
    with gateway(tiny, "--engine", "vllm", **keys) as front:
        assert "vllm at http://127.0.0.1" in front.said[-1]
        assert front.ask("/healthz").status == 200
        assert front.stop() == 0


@pytest.mark.slow
def test_a_checkpoint_that_is_called_like_a_module_is_not_imported(tiny: Path, tmp_path: Path) -> None:
    """The engine's folder holds the checkpoint under its own name: `torch` must still be torch."""
    folder, mark = tmp_path / "torch", tmp_path / "ran"
    tiny.rename(folder)
    (folder / "__init__.py").write_text(f"open({str(mark)!r}, 'w')\n")
    server = Server(str(folder))
    try:
        assert not mark.exists()
    finally:
        server.close()
