"""One table of a run in W&B that grows with it."""

from collections.abc import Sequence
from typing import Any


class GrowingTable:
    """One table of a run to which rows are added: each time only the new ones are sent.

    W&B joins them to those of an earlier start of the same run. When the W&B run is another object (its process was
    started anew) all rows are sent again: a row twice is better than a row lost.
    """

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        self.name = name
        self.columns: list[Any] = list(columns)
        self._rows: list[list[Any]] = []
        self._run: Any = None
        self._table: Any = None
        self._in_table = 0

    def hand_over(self, run: Any, step: int, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows, and log what W&B has not taken yet."""
        import wandb

        self._rows += [[row[column] for column in self.columns] for row in rows]
        if run is not self._run:
            self._run, self._in_table = run, 0
            self._table = wandb.Table(columns=self.columns, log_mode="INCREMENTAL")
        for row in self._rows[self._in_table :]:
            self._table.add_data(*row)
        self._in_table = len(self._rows)
        sent, self._run = self._run, None  # until W&B has taken it; else the next time begins with a table anew
        run.log({"step": step, self.name: self._table})
        self._run = sent
