"""Optimiser state that stays in float32 whatever type the weights have."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Float32State(torch.optim.Optimizer):
    """An optimiser whose state keeps its own number format when it is loaded.

    `torch.optim.Optimizer.load_state_dict` casts what it is given to the parameter's type, which under bf16_true would
    round averages and factors to 8 bits.
    """

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Take the state of `state_dict`: to the parameters' devices, in the types in which it was saved."""
        super().load_state_dict(dict(state_dict))
        parameters = [p for group in self.param_groups for p in group["params"]]
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        for number, parameter in zip(numbers, parameters):
            for key, value in state_dict["state"].get(number, {}).items():
                if isinstance(value, Tensor) and value.dtype != self.state[parameter][key].dtype:
                    self.state[parameter][key] = value.detach().clone().to(parameter.device)


def zeros_like(parameter: Tensor) -> Tensor:
    """Return float32 zeros, shaped and laid out over processes as `parameter` is."""
    return torch.zeros_like(parameter, dtype=torch.float32)
