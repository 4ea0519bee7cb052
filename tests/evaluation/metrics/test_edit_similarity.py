"""Edit similarity by hand."""

import numpy as np
import pytest

from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.edit_similarity import EditSimilarityConfig
from prospero.evaluation.metrics.text_base import TextSample

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


@pytest.mark.parametrize(
    ("text", "references", "expected"),
    [
        ("kitten", ["sitting"], 1 - 3 / 7),
        ("kitten", ["dog", "mitten"], 1 - 1 / 6),
        ("今天好", ["今天坏"], 2 / 3),
        ("", [""], 1),
        ("", ["ab"], 0),
        ("ab", [""], 0),
    ],
)
def test_one_less_the_edits_a_character_with_the_best_reference(text, references, expected):
    metric = EditSimilarityConfig().build(FACTS)
    row = metric.statistics([TextSample(predictions=[text], references=references)])[0]
    assert row.tolist() == pytest.approx([expected, 1])
