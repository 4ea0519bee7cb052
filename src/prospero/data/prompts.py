"""The prompts of a prepared split of examples: the tokens that come before the targets, and the record they are of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prospero.data.kept_records import read_records
from prospero.data.prepare import PreparedData
from prospero.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Prompt:
    """One example, taken apart."""

    number: int
    """Its number in the split."""
    ids: list[int]
    """What a model reads first: the separator, and the tokens of the prompt."""
    answer: list[int]
    """The tokens that are learnt where the answer is given; the last is the separator."""
    record: Mapping[str, str]
    """`prompt` and `response` as texts, and the fields that were kept."""


class Prompts:
    """The examples of a split by number; ConfigError for data that are texts."""

    def __init__(self, prepared: PreparedData, split: str) -> None:
        self.prepared, self.split = prepared, split
        if split not in prepared.splits:
            raise DataError(f"the prepared data have no split '{split}'; have {', '.join(prepared.splits)}")
        self.shards = prepared.splits[split]
        if self.shards.targets is None:
            raise ConfigError(
                "rewards need prompts, and the data are texts without one; choose data of examples and "
                "rendering=prompt_response, which says what the prompt is"
            )
        if self.shards.documents_per_example != 1:
            raise ConfigError(
                f"rewards need one prompt an example; here one makes {self.shards.documents_per_example} documents"
            )

    def __len__(self) -> int:
        return self.shards.n_documents

    @cached_property
    def kept(self) -> list[dict[str, str]]:
        """The fields of each example that were kept."""
        return read_records(self.prepared.directory, self.split, len(self))

    @property
    def fields(self) -> frozenset[str]:
        """What every record holds."""
        return frozenset({"prompt", "response", *(self.kept[0] if self.kept else {})})

    @cached_property
    def longest_prompt(self) -> int:
        """Tokens of the longest prompt, the separator before it counted."""
        targets, ends = self.shards.targets, self.shards.document_ends.astype(np.int64)
        assert targets is not None, "of examples, as has been seen"
        starts, marks = np.concatenate([[1], ends[:-1]]), np.flatnonzero(targets)
        first = np.append(marks, len(targets))[np.searchsorted(marks, starts)]  # the first target from each start on
        return int((np.minimum(first, ends) - starts).max()) + 1

    def __getitem__(self, number: int) -> Prompt:
        ends, targets = self.shards.document_ends, self.shards.targets
        assert targets is not None, "of examples, as has been seen"
        start = int(ends[number - 1]) if number else 1
        stop = int(ends[number])
        marks = np.flatnonzero(targets[start:stop])
        first = start + int(marks[0]) if len(marks) else stop
        ids = [int(token) for token in self.shards.tokens(start - 1, first)]
        answer = [int(token) for token in self.shards.tokens(first, stop)]
        decode = self.prepared.tokenizer.decode
        record = {"prompt": decode(ids[1:]), "response": decode(answer[:-1]), **self.kept[number]}
        return Prompt(number, ids, answer, record)
