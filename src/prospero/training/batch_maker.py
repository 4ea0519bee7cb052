"""What stands between the loader and the objective: most runs learn from the batches as they come."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prospero.batch import Batch

if TYPE_CHECKING:
    from prospero.training.module import TrainingModule


class BatchMaker:
    """Hands on what the loader gives; the base of all others."""

    def __call__(self, module: "TrainingModule", batch: Batch) -> Batch:
        """Return what is learnt from in place of `batch`, the next micro-batch of training; may be a collective."""
        return batch

    def metrics(self) -> dict[str, float]:
        """Return what is added to the row of the step just ended, the same on every rank."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, plain values and tensors; asked for between two steps."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
