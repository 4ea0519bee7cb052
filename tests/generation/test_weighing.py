"""The odds of given continuations: those of the model's own forward, whatever decodes."""

import pytest
import torch

from prospero.generation.decoder import ModelDecoder
from prospero.generation.packed import PackedDecoder
from prospero.generation.weighing import weigh
from tests.generation.presets import SEQ_LEN, tiny


@pytest.mark.parametrize("preset", ["tiny", "lstm"])
def test_they_are_those_of_forward(preset):
    """Ragged rows, one of a window and one more; the greedy id is told from others."""
    model = tiny(preset)
    rows = [torch.randint(0, 256, (count,)).tolist() for count in (SEQ_LEN + 1, 5, 2)]
    with torch.no_grad():
        logits = [model(torch.tensor([row[:-1]])).logits[0] for row in rows]
    rows[1][-1] = int(logits[1][-1].argmax())
    decoders = [ModelDecoder(model), *([PackedDecoder(model)] if preset == "tiny" else [])]
    for decoder in decoders:
        found = weigh(decoder, rows, [SEQ_LEN, 2, 1])
        for weighed, scores, row, count in zip(found, logits, rows, [SEQ_LEN, 2, 1]):
            expected = scores.log_softmax(-1).gather(1, torch.tensor(row[1:]).unsqueeze(1)).squeeze(1)
            torch.testing.assert_close(weighed.log_probabilities, expected[-count:], atol=1e-4, rtol=1e-4)
            assert weighed.greedy.tolist() == (scores.argmax(-1) == torch.tensor(row[1:]))[-count:].tolist()
        assert found[1].greedy[-1]
