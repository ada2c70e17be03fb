"""Fixtures for all tests. No test reaches beyond this machine: sockets connect to loopback only."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_socket import socket_allow_hosts
from support import ASKED, REFERENCES, make_adapter, make_task

_HF_HOME = tempfile.TemporaryDirectory(prefix="easyds-tests-")
os.environ |= {
    "HF_HOME": _HF_HOME.name,
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "NO_COLOR": "1",
}
logging.raiseExceptions = (
    False  # transformers' log handler keeps the captured stderr of the test that first imported it
)
for _name in [name for name in os.environ if name.startswith(("EASYDS_", "OPENAI_"))]:
    del os.environ[_name]


@pytest.fixture(autouse=True)
def _offline() -> None:
    socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    """The small task: six items, zh and en."""
    return make_task(tmp_path / "task")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`easyds ARGS` in this process: an object with code, out, err."""
    from types import SimpleNamespace

    from harness.cli import main

    def run(*args: str | Path) -> Any:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        captured = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=captured.out, err=captured.err)

    return run


@pytest.fixture(scope="session")
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from trainers.base import Spec, new_model, train_tokenizer

    torch.set_num_threads(1)
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    texts = [text for _, text in ASKED] + [text for some in REFERENCES.values() for text in some]
    tokenizer = train_tokenizer([[{"role": "user", "content": text}] for text in texts], 420)
    wide = {"initializer_range": 0.3, "tie_word_embeddings": False}  # so that texts differ from item to item
    model = new_model(
        tokenizer, Spec(data="", output="", hidden=32, layers=2, heads=2, kv_heads=1, context=512, model=wide)
    )
    with torch.no_grad():
        # an end of turn that is now and then the likeliest token: some answers stop, others run to their limit
        model.lm_head.weight[tokenizer.eos_token_id] *= 2
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(_tiny: Path, tmp_path: Path) -> Path:
    """A tiny random Qwen2 checkpoint with Qwen's chat template, the test's own to change."""
    return Path(shutil.copytree(_tiny, tmp_path / "tiny"))


@pytest.fixture
def adapter(tiny: Path, tmp_path: Path) -> Path:
    """A LoRA adapter on `tiny` whose weights are not zero."""
    return make_adapter(tiny, tmp_path / "adapter", seed=1)


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
