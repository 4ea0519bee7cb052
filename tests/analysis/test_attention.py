"""Attention over rows of text: means over the queries that see more than themselves, by hand."""

import numpy as np
import pytest
import torch

from prospero.analysis.attention import AttentionConfig, AttentionPatterns
from prospero.errors import ConfigError
from prospero.model.hooks import record
from prospero.runs.figures import canvas
from tests.analysis.small_models import SEQ_LEN, facts, model, subject, text_file


def built(tmp_path, kind="transformer", **settings) -> AttentionPatterns:
    return AttentionConfig(path=text_file(tmp_path), **settings).build("attention", facts(kind))


def test_the_numbers_by_hand(tmp_path):
    network, analysis = model(), built(tmp_path, limit=2)
    measured = analysis(subject(network))
    rows = analysis.rows.read([0])
    with torch.no_grad(), record(network, ["block.*.attention.weights"]) as found:
        network(rows.input_ids)
    weights = torch.stack([found[f"block.{layer}.attention.weights"][0] for layer in range(2)]).double()  # [L, N, T, T]
    first = measured.outcomes[0].statistics
    queries, places = range(1, SEQ_LEN), torch.arange(SEQ_LEN).double()
    by_hand = {
        "entropy": sum(-(w := weights[:, :, t, : t + 1]).mul(w.log()).sum(-1) for t in queries),
        "distance": sum(t - (weights[:, :, t] * places).sum(-1) for t in queries),
        "sink": sum(weights[:, :, t, 0] for t in queries),
        "previous_token": sum(weights[:, :, t, t - 1] for t in queries),
    }
    for name, sums in by_hand.items():
        np.testing.assert_allclose(first[name][:-1], sums.flatten().numpy(), rtol=1e-4)
        assert first[name][-1] == SEQ_LEN - 1
    rolled = torch.eye(SEQ_LEN).double()
    for layer in weights.mean(dim=1):
        rolled = (layer + torch.eye(SEQ_LEN)) / 2 @ rolled
    assert first["rollout_first"][0] == pytest.approx(float(rolled[1:, 0].sum()), rel=1e-5)


def test_the_summary_is_of_the_cells(tmp_path):
    analysis = built(tmp_path)
    measured = analysis(subject(model()))
    sums = measured.statistics("previous_token").sum(axis=0)
    assert measured.value("previous_token") == pytest.approx((sums[:-1] / sums[-1]).max())
    sums = measured.statistics("entropy").sum(axis=0)
    assert measured.value("entropy") == pytest.approx((sums[:-1] / sums[-1]).mean()) and len(sums) == 2 * 4 + 1


def test_a_document_has_a_sink_of_its_own(tmp_path):
    """Of two documents in one row, each query sees its own alone: the first token of each is left out."""
    path = tmp_path / "two.jsonl"
    path.write_text('{"text": "abcde"}\n{"text": "fghij"}\n', encoding="utf-8")
    analysis = AttentionConfig(path=str(path), seq_len=12).build("attention", facts())
    apart, across = (
        analysis(subject(model(document_attention=document_attention))).outcomes[0].statistics["sink"]
        for document_attention in (True, False)
    )
    assert apart[-1] == across[-1] - 1
    assert sum(apart[:-1]) / apart[-1] > sum(across[:-1]) / across[-1]  # fewer keys, so more on the first


def test_numbers_do_not_depend_on_rows_side_by_side(tmp_path):
    one, many = (built(tmp_path)(subject(model(), rows=rows)) for rows in (1, 16))
    for name in one.quantities:
        np.testing.assert_allclose(one.statistics(name), many.statistics(name), rtol=1e-4)


def test_few_rows_at_a_time_where_their_weights_are_many(tmp_path, monkeypatch):
    analysis = built(tmp_path)
    whole = analysis(subject(model()))
    monkeypatch.setattr("prospero.analysis.reading.WEIGHTS_AT_ONCE", 2 * 4 * SEQ_LEN**2)
    asked = list[int]()
    read = analysis.rows.read
    monkeypatch.setattr(analysis.rows, "read", lambda items: asked.append(len(items)) or read(items))
    assert analysis(subject(model())).value("entropy") == pytest.approx(whole.value("entropy"), rel=1e-5)
    assert set(asked) == {1}


def test_table_and_picture(tmp_path):
    analysis = built(tmp_path)
    measured = analysis(subject(model()))
    (table,) = analysis.tables(measured)
    assert [row[0] for row in table.rows] == [0, 1] and all(len(row) == len(table.columns) for row in table.rows)
    drawn = canvas(9.0, 5.0)
    assert analysis.draw(measured, drawn)
    (mosaic, *maps) = [axes for axes in drawn.get_axes() if axes.get_title(loc="left")]
    assert len(maps) == 4
    pattern = np.asarray(mosaic.images[0].get_array().filled(np.nan))
    below = pattern[:SEQ_LEN, :SEQ_LEN]  # the last block's first head
    np.testing.assert_allclose(below.sum(axis=1), 1, atol=0.01)


def test_a_recurrent_model_has_none(tmp_path):
    with pytest.raises(ConfigError, match=r"analyses\.attention looks at attention, and a model=lstm has none"):
        built(tmp_path, "lstm")


def test_a_process_with_some_of_the_heads_is_refused(tmp_path):
    analysis = AttentionConfig(path=text_file(tmp_path)).build("attention", facts(n_heads=8))
    with pytest.raises(ConfigError, match="all 8 heads of a layer, and this process holds 4"):
        analysis(subject(model()))
