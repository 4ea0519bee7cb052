"""What data, model and objective exchange: one micro-batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

IGNORE_INDEX = -100
"""The label of a position that is not a target (torch's own default in cross_entropy)."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """The part of a global batch that one process computes at a time; B sequences of T tokens."""

    inputs: Mapping[str, "Tensor"]
    """The arguments of the model's forward pass: `input_ids` int64 [B, T], perhaps `document_ids` int32 [B, T]."""
    labels: "Tensor"
    """The targets, int64 [B, T]; IGNORE_INDEX where there is none."""
    facts: Mapping[str, "Tensor"] = field(default_factory=dict)
    """What metrics and terms may read and the model does not, such as `source_ids` int32 [B, T]."""
    sequences: int
    """Sequences of the whole global batch: all processes, all micro-steps."""
    tokens: int
    """Positions of the whole global batch, padding included; what `max_tokens` counts."""
    target_tokens: int
    """Targets of the whole global batch; what the loss is divided by."""

    def to(self, device: Any, *, non_blocking: bool = False) -> "Batch":
        """Return the batch with its tensors on `device`."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, from which a GPU copies while it computes; for DataLoader."""
        return self._with(lambda tensor: tensor.pin_memory())

    def first(self, rows: int) -> "Batch":
        """Return the batch with its first `rows` sequences alone; the numbers of the whole stay."""
        return self._with(lambda tensor: tensor[:rows])

    def _with(self, change: Callable[["Tensor"], "Tensor"]) -> "Batch":
        return Batch(
            inputs={name: change(tensor) for name, tensor in self.inputs.items()},
            labels=change(self.labels),
            facts={name: change(tensor) for name, tensor in self.facts.items()},
            sequences=self.sequences,
            tokens=self.tokens,
            target_tokens=self.target_tokens,
        )
