"""One backbone that is policy, reference, reward model and critic at once.

The frozen base is the SFT checkpoint. With the adapter `policy` it is the policy, with no adapter the reference, with the
adapter `reward` and its head the reward model; the value head reads the policy's own last hidden states, detached, so
that the critic cannot bend the policy. The policy is the standing state: another adapter is active only inside `using`,
where no gradient is recorded. So a loss of the policy is always taken back through the adapter that made it, also
where gradient checkpointing runs the forward pass again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from harness.errors import EnvironmentProblem
from trainers.checkpoint import HEAD

POLICY, REWARD = "default", "reward"
LOGITS = 1 << 24
"""Most logits held at once, so that memory does not grow with batch x length x vocabulary (Qwen2.5: 152 thousand)."""


class Backbone:
    """A causal language model under its adapters. `model` is the base with the active adapter in it."""

    def __init__(self, base: PreTrainedModel, config: LoraConfig, seed: int, reward: Path | None = None) -> None:
        """`reward` is a folder with a LoRA adapter for the same base and its `head.safetensors`."""
        torch.manual_seed(seed)  # LoRA's first weights are random
        self.peft: PeftModel = get_peft_model(base, config, adapter_name=POLICY)  # type: ignore[assignment]
        self.reward_head: Tensor | None = None
        if reward is not None:
            self.reward_head = self._add_reward(reward).to(base.device)
        self.model: Any = self.peft.get_base_model()
        self.value_head = torch.nn.Linear(base.config.hidden_size, 1, device=base.device)
        torch.nn.init.zeros_(self.value_head.weight)
        torch.nn.init.zeros_(self.value_head.bias)
        switch_dropout_off(self.model)
        self.model.eval()
        self.peft.set_adapter(POLICY)

    def _add_reward(self, folder: Path) -> Tensor:
        """Add the reward adapter, and give its head [width]. Made for a model with a score head, it is added without:
        PEFT would take the causal model's lack of one for granted and drop the trained head in silence.

        Raises EnvironmentProblem if a weight of the adapter finds no place here.
        """
        settings = LoraConfig.from_pretrained(str(folder))
        settings.modules_to_save, settings.task_type, settings.inference_mode = None, TaskType.CAUSAL_LM, True
        self.peft.add_adapter(REWARD, settings)
        weights = {name: one for name, one in load_peft_weights(str(folder), device="cpu").items() if "lora_" in name}
        loaded: Any = set_peft_model_state_dict(self.peft, weights, REWARD)
        own = {name for name, _ in self.peft.named_parameters() if f".{REWARD}." in name}
        if loaded.unexpected_keys or len(own) != len(weights):
            raise EnvironmentProblem(
                f"{folder} does not fit this base: its adapter has other layers. Was it trained on it?"
            )
        return load_file(folder / HEAD)["weight"].reshape(-1)

    def policy_parameters(self) -> dict[str, torch.nn.Parameter]:
        """The policy adapter's parameters, by name: other adapters' look alike, and what is frozen changes by switching."""
        found = {name: one for name, one in self.peft.named_parameters() if f".{POLICY}." in name}
        assert all(one.requires_grad for one in found.values()), "the policy adapter is frozen"
        return found

    @contextmanager
    def using(self, adapter: Literal["reference", "reward"]) -> Iterator[None]:
        """Another adapter than the policy's, without gradients; afterwards the policy is active and trainable again."""
        with torch.no_grad():
            if adapter == "reference":
                with self.peft.disable_adapter():
                    yield
                return
            self.peft.set_adapter(REWARD, inference_mode=True)
            try:
                yield
            finally:
                self.peft.set_adapter(POLICY)

    def hidden(self, ids: Tensor, positions: Tensor, allowed: Tensor) -> Tensor:
        """Last hidden states of [rows, length] tokens, flat: [rows x length, width].

        `allowed` [rows, 1, length, length] is true where a token sees another; a token must see itself.
        """
        states: Tensor = self.model.model(
            input_ids=ids, attention_mask=allowed, position_ids=positions, use_cache=False
        ).last_hidden_state
        return states.flatten(0, 1)

    def log_probs(self, states: Tensor, temperature: float) -> Tensor:
        """Log-probabilities of the whole vocabulary [tokens, vocabulary] after states [tokens, width], in float32."""
        logits: Tensor = self.model.lm_head(states)
        return (logits.float() / temperature).log_softmax(-1)

    def chunks(self, count: int) -> list[slice]:
        """Slices of `count` tokens whose logits fit into LOGITS."""
        size = max(1, LOGITS // int(self.model.config.vocab_size))
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]

    def token_log_probs(self, states: Tensor, tokens: Tensor, temperature: float) -> Tensor:
        """Log-probability of each of `tokens` [tokens] after `states` [tokens, width]; logits are made chunk by chunk,
        and where there are several they are made again for the backward pass instead of being kept."""

        def some(states: Tensor, tokens: Tensor) -> Tensor:
            return self.log_probs(states, temperature).gather(1, tokens[:, None])[:, 0]

        parts = self.chunks(len(tokens))
        if len(parts) == 1 or not states.requires_grad:
            return torch.cat([some(states[part], tokens[part]) for part in parts])
        found = [checkpoint(some, states[part], tokens[part], use_reentrant=False) for part in parts]
        return torch.cat(found)  # type: ignore[arg-type]

    def values(self, states: Tensor) -> Tensor:
        """The critic's values for policy states; its gradient ends here."""
        return self.value_head(states.detach().float())[..., 0]  # type: ignore[no-any-return]

    def state(self) -> dict[str, Tensor]:
        """What training changes: the policy adapter's weights and the value head's, by name."""
        weights = {name: one.detach() for name, one in self.policy_parameters().items()}
        return {**weights, **{f"value_head.{name}": one for name, one in self.value_head.state_dict().items()}}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `state` gave. Raises KeyError if a weight is missing or left over."""
        own = self.state()
        if own.keys() != state.keys():
            raise KeyError(f"weights differ: {sorted(own.keys() ^ state.keys())[:3]}")
        for name, one in own.items():
            one.copy_(state[name])


def switch_dropout_off(model: torch.nn.Module) -> None:
    """Set every dropout to 0, so that train mode (which gradient checkpointing needs) changes no number."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # type: ignore[assignment]
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
