"""Models by name: `provider/name`. A provider is imported only when a model of its kind is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from harness.errors import UsageError, unknown
from harness.types import Model

PROVIDERS = {
    "hf": "harness.models.hf:open_model",
    "openai": "harness.models.openai:open_model",
    "control": "harness.models.control:open_model",
}


@dataclass(frozen=True, slots=True)
class Options:
    """How models are run. `loaded` is shared between the models of one command, so that adapters share their base."""

    batch_size: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    base_url: str | None = None
    concurrency: int = 8
    loaded: dict[Any, Any] = field(default_factory=dict, compare=False)


def open_model(name: str, options: Options) -> Model:
    """The model called `provider/name`. Raises UsageError for an unknown provider or a name of another form."""
    provider, _, rest = name.partition("/")
    table = {**PROVIDERS, **{point.name: point.value for point in entry_points(group="easyds.models")}}
    if not rest:
        raise UsageError(
            f"model '{name}' is not of the form provider/name, e.g. hf/Qwen/Qwen2.5-7B-Instruct, hf/./checkpoint or control/reference."
        )
    if provider not in table:
        raise unknown("model provider", provider, list(table), "A model's name begins with its provider; easyds")
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {options.batch_size}.")
    model: Model = resolve(table[provider])(rest, options)
    return model


def resolve(target: str) -> Callable[..., Any]:
    """The attribute named by "module:attribute"."""
    module, _, attribute = target.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), attribute)
    return found
