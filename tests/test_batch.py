"""A micro-batch and its parts."""

import torch

from prospero.batch import Batch


def test_its_first_rows_are_those_of_every_tensor_and_the_numbers_of_the_whole_stay():
    whole = Batch(
        inputs={"input_ids": torch.arange(12).view(4, 3)},
        labels=torch.arange(12).view(4, 3) + 1,
        facts={"source_ids": torch.zeros(4, 3, dtype=torch.int32)},
        sequences=8,
        tokens=24,
        target_tokens=20,
    )
    part = whole.first(2)
    assert part.inputs["input_ids"].tolist() == [[0, 1, 2], [3, 4, 5]] and part.labels.tolist() == [
        [1, 2, 3],
        [4, 5, 6],
    ]
    assert part.facts["source_ids"].shape == (2, 3)
    assert (part.sequences, part.tokens, part.target_tokens) == (8, 24, 20)
