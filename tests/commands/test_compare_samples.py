"""Which function of its sums a number is: found again from what an evaluation has written."""

import numpy as np

from prospero.commands.compare_samples import _finish


def test_a_metric_that_scores_by_a_model_needs_none_to_be_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no run is
    rows = np.array([[0.5, 0.7, 0.6, 1.0], [0.1, 0.9, 0.2, 1.0]])  # precision, recall, F1 and the count
    finish = _finish("bert_score_f1", [(rows, 0.4), (rows, 0.4)])
    assert finish is not None
    assert float(finish(rows.sum(axis=0))) == 0.4
