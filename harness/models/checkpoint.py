"""A checkpoint's files, found and looked at without loading anything: base, adapter, tokenizer, marks.

Weights come from safetensors only and no checkpoint may bring code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem, UsageError

MARK = "easyds.json"
PICKLES = ("pytorch_model*.bin", "adapter_model.bin", "*.pt", "*.pth", "*.ckpt")
ADAPTER = "adapter_model.safetensors"
"""The only file that PEFT reads an adapter from before it takes a pickle; a reward model's head lies beside it."""
HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "merges.txt", "vocab.txt", "tokenizer.model"]


@dataclass(frozen=True, slots=True)
class Folders:
    """A checkpoint on disk: its base, and the adapter on it if there is one. The tokenizer is the adapter's if it has one."""

    base: Path
    adapter: Path | None
    tokenizer: Path


def find(name: str) -> Path:
    """The folder of a checkpoint: a local path (begins with '.', '/' or '~'), or a model of the hub's cache or the hub."""
    if name.startswith((".", "/", "~")):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise EnvironmentProblem(
                f"{folder} does not exist or is no folder. Give the folder that holds config.json or adapter_config.json."
            )
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except HFValidationError as error:
        raise UsageError(
            f"'{name}' is not a hub model id (owner/name). A local folder is written hf/./folder."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise EnvironmentProblem(
            f"hub model '{name}' is neither in the local cache nor to be had from here. Check the name and the network, or give a local folder as hf/./folder."
        ) from error


def folders(name: str) -> Folders:
    """Where the parts of a checkpoint lie. Raises EnvironmentProblem for pickled weights, remote code, missing files."""
    folder = find(name)
    config = folder / "adapter_config.json"
    if not config.exists():
        _check(folder, "config.json")
        return Folders(folder, None, folder)
    _check(folder, "adapter_config.json")
    base_name = read_config(config).get("base_model_name_or_path") or ""
    base = _find_base(folder, base_name)
    _check(base, "config.json")
    return Folders(base, folder, folder if (folder / "tokenizer_config.json").exists() else base)


def _find_base(folder: Path, name: str) -> Path:
    """The base an adapter names: a folder beside it or below the current one (PEFT writes either), else as for `find`."""
    if not name:
        raise EnvironmentProblem(f"{folder}: adapter_config.json names no base (base_model_name_or_path).")
    local = next((one for one in (folder / name, Path(name)) if one.is_dir()), None)
    return local.resolve() if local else find(name)


def _check(folder: Path, config_name: str) -> None:
    config = folder / config_name
    if not config.exists():
        raise EnvironmentProblem(
            f"{folder} has no {config_name}: it is no checkpoint. Give the folder that save_pretrained() wrote."
        )
    weights = ADAPTER if config_name == "adapter_config.json" else "*.safetensors"
    if not any(folder.glob(weights)):
        pickled = next((path.name for pattern in PICKLES for path in folder.glob(pattern)), None)
        if pickled:
            raise EnvironmentProblem(
                f"{folder} has only pickled weights ({pickled}), which can run code when loaded. Save it again with save_pretrained(..., safe_serialization=True)."
            )
        raise EnvironmentProblem(
            f"{folder} has no {weights} weights. The download or the training may not have finished."
        )
    for one in (config, folder / "tokenizer_config.json"):
        if one.exists() and "auto_map" in read_config(one):
            raise EnvironmentProblem(
                f"{folder} wants to run its own code (auto_map in {one.name}), which is never allowed. Use a model whose architecture transformers knows."
            )


def is_oracle(folder: Path) -> bool:
    """Whether the trainer marked the checkpoint as an oracle arm: `easyds.json` with "oracle": true."""
    path = folder / MARK
    return path.exists() and read_config(path).get("oracle") is True


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint. Raises EnvironmentProblem for a file that is none."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EnvironmentProblem(
            f"{path} is not valid JSON ({error}). The checkpoint was not written to its end."
        ) from error
    if not isinstance(settings, dict):
        raise EnvironmentProblem(f"{path} is no JSON object. The checkpoint was not written to its end.")
    return settings
