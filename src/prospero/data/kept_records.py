"""Fields of records that stay beside the tokens of a split: a line of JSON for each example, in their order."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from prospero.errors import DataError


def records_file(split: str) -> str:
    """Return the name of a split's file."""
    return f"{split}.records.jsonl"


class RecordWriter:
    """Writes the lines as the examples come."""

    def __init__(self, folder: Path, split: str) -> None:
        self.path = folder / records_file(split)
        self._file = open(self.path, "w", encoding="utf-8")  # noqa: SIM115 - closed by close() or abandon()

    def add(self, record: Mapping[str, str]) -> None:
        """Keep the fields of the next example."""
        self._file.write(json.dumps(dict(record), ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Make the file durable."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file after an error, finished or not."""
        with contextlib.suppress(OSError):  # what is buffered may not fit on a full disk
            self._file.close()


def read_records(folder: Path, split: str, n_examples: int) -> list[dict[str, str]]:
    """Return the kept fields of each example, none where none were kept; DataError when the file is damaged."""
    path = folder / records_file(split)
    if not path.exists():
        return [{} for _ in range(n_examples)]
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); prepare the data again") from error
    if len(records) != n_examples:
        raise DataError(f"{path} holds {len(records)} records for {n_examples} examples; prepare the data again")
    return records
