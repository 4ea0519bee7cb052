"""What a training run asks of its data: where it stands, what it leaves out, and whose text a step has read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol


class TrainingData(Protocol):
    """Data with one cursor; a data module of Lightning that has it is saved and restored by Lightning."""

    @property
    def consumed_sequences(self) -> int:
        """Sequences that are behind; the next training loader starts here."""
        ...

    def advance(self, sequences: int) -> None:
        """Note that a step has consumed that many more sequences."""
        ...

    def skip(self, ranges: Iterable[Sequence[int]]) -> None:
        """Leave out the positions [start, stop) of `ranges` as well; takes effect with the next training loader."""
        ...

    def origins(self, first: int, last: int, limit: int) -> list[str]:
        """Name at most `limit` documents in consumed sequences [first, last), and say how many there are besides."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return {"consumed_sequences": number, "skipped": [[start, stop], ...]}."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Put the cursor where `state_dict` says, and skip its ranges besides those that are skipped already."""
        ...
