"""Several processes that train one policy, through accelerate. One process is the special case in which nothing is sent.

Every process holds the whole model and plays its own episodes. Gradients of the adapter and the value head are summed by
hand, over the tokens of all: the model is called in parts (its body, its head), which a wrapped model does not see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, reduce
from torch import Tensor

from harness.errors import EnvironmentProblem


class Ranks:
    """This process's place among all."""

    def __init__(self) -> None:
        self._state = PartialState(cpu=not torch.cuda.is_available())
        self.rank: int = self._state.process_index
        self.count: int = self._state.num_processes
        self.main = self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        return reduce(values, reduction="sum") if self.count > 1 else values  # type: ignore[return-value]

    def gather(self, values: Sequence[Any]) -> list[Any]:
        """All processes' values, the first process's first."""
        return list(gather_object(list(values)) if self.count > 1 else values)

    def share(self, value: Any) -> Any:
        """The first process's value, in every process."""
        return broadcast_object_list([value])[0] if self.count > 1 else value

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes; a process that had no episode gives zeros."""
        if self.count == 1:
            return
        all_of_them = list(parameters)
        flat = torch.cat([(torch.zeros_like(one) if one.grad is None else one.grad).flatten() for one in all_of_them])
        parts = self.sum(flat).split([one.numel() for one in all_of_them])
        for one, part in zip(all_of_them, parts):
            one.grad = part.view_as(one).clone()

    def require_equal(self, weights: dict[str, Tensor]) -> None:
        """Raises EnvironmentProblem if the processes' weights have come apart by a single bit."""
        if self.count == 1:
            return
        total = hashlib.sha256()
        for one in weights.values():
            total.update(one.float().cpu().numpy().tobytes())
        if len(set(self.gather([total.hexdigest()]))) > 1:
            raise EnvironmentProblem("the processes' weights have come apart; the run cannot be trusted and ends here.")
