"""What is shown of a batch: the marks hold exactly the tokens that carry loss."""

import re

import numpy as np
import pytest

from prospero.batch import IGNORE_INDEX
from prospero.data.packing.best_fit import BestFitPackingConfig
from prospero.data.packing.concat import ConcatPackingConfig
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.data.rendering.messages import LossOn, MessagesConfig
from prospero.data.shown_batch import lines, rows, summary
from tests.data.rendering.test_messages import openai, prepared

X = IGNORE_INDEX


def test_a_batch_by_hand():
    arrays = {
        "input_ids": np.array([[0, 5, 6, 0, 7, 0, 0, 0]]),
        "labels": np.array([[X, 6, 0, X, 0, X, X, X]]),
        "document_ids": np.array([[0, 0, 0, 1, 1, 2, 2, 2]]),
    }
    (row,) = rows(arrays, separator=0)
    tokens = [[(id_, kind.name) for id_, kind in document] for document in row.documents]
    assert tokens == [
        [(0, "read"), (5, "read"), (6, "learnt"), (0, "learnt")],
        [(0, "read"), (7, "read"), (0, "learnt")],
    ]
    assert (row.positions, row.targets, row.padding) == (8, 3, 3)
    assert summary([row]) == "batch: 1 sequences, 3 targets (37.5% of 8 positions), 2 documents, 3 padding"


@pytest.mark.parametrize("loss_on", list(LossOn))
@pytest.mark.parametrize("packing", [ConcatPackingConfig(), BestFitPackingConfig(), PaddedPackingConfig()])
def test_the_marks_hold_the_targets_and_nothing_else(tmp_path, packing, loss_on):
    rendering = MessagesConfig(template="chatml", loss_on=loss_on)
    data = prepared(tmp_path, [openai(i) for i in range(60)], rendering=rendering)
    packed = packing.build(data.splits["train"], 160)
    arrays = packed.read(np.arange(len(packed)))
    found = rows(arrays, data.tokenizer.eot_id)
    text = "\n".join(lines(found, data.tokenizer, colour=False, shown=len(found)))
    marked = "".join(re.findall("⟦([^⟧]*)⟧", text.partition("\n")[2]))
    counted = len(re.findall("«[^»]*»", marked)) + len(re.sub("«[^»]*»", "", marked))  # the tokenizer is of bytes
    assert counted == (arrays["labels"] != X).sum() == sum(row.targets for row in found)
    documents = [document for row in found for document in row.documents]
    cut = 0 if not isinstance(packing, ConcatPackingConfig) else len(found)
    assert data.splits["train"].n_documents <= len(documents) <= data.splits["train"].n_documents + cut
    colours = "\n".join(lines(found, data.tokenizer, colour=True, shown=2))
    assert "\x1b[32mIt is" in colours or loss_on is LossOn.all
    assert f"... and {len(found) - 2} more sequences" in colours


def test_what_steers_a_terminal_is_shown_as_it_is_written(tmp_path):
    row = {"messages": [{"role": "user", "content": "a\x1b[2Jb"}, {"role": "assistant", "content": "ok"}]}
    data = prepared(tmp_path, [openai(i) for i in range(60)] + [row] * 1)
    arrays = PaddedPackingConfig().build(data.splits["train"], 128)
    found = rows(arrays.read(np.arange(len(arrays))), data.tokenizer.eot_id)
    text = "\n".join(lines(found, data.tokenizer, colour=False, shown=len(found)))
    assert "\x1b" not in text
