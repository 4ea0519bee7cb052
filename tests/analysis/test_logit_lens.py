"""The logit lens: the output at the last place, and what it says of the others, by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from prospero.analysis.lens import lens, lens_points, settled_at
from prospero.analysis.logit_lens import LogitLens, LogitLensConfig
from prospero.errors import ConfigError, DataError
from prospero.model.base import LanguageModel
from prospero.model.hooks import record
from prospero.runs.figures import canvas
from tests.analysis.small_models import KINDS, SEQ_LEN, TOKENIZER, facts, model, subject, text_file


def built(tmp_path, kind="transformer", **settings) -> LogitLens:
    return LogitLensConfig(path=text_file(tmp_path), **settings).build("logit_lens", facts(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_last_place_it_is_the_output(kind, tmp_path):
    network, analysis = model(kind), built(tmp_path, kind)
    measured = analysis(subject(network))
    rows = analysis.rows.read(range(analysis.size))
    with torch.no_grad():
        output = network(rows.input_ids).logits.log_softmax(-1)
    nats = F.nll_loss(output.flatten(0, 1), rows.labels.flatten(), ignore_index=-100)
    assert measured.value("loss") == pytest.approx(float(nats), rel=1e-5)
    asked = rows.labels >= 0
    true = output[asked].gather(1, rows.labels[asked][:, None]).exp()
    assert measured.value("probability") == pytest.approx(float(true.mean()), rel=1e-5)
    assert len(analysis.places) == len(lens_points(network))


def test_the_places_by_hand(tmp_path):
    network, analysis = model(), built(tmp_path)
    rows = analysis.rows.read([0])
    with torch.no_grad(), record(network, lens_points(network)) as found:
        output = network(rows.input_ids).logits[0].log_softmax(-1)
        numbers = lens(network, list(found.values()), rows.labels)
        early = network.project(network.norm(found["block.0.residual"]))[0].log_softmax(-1)
    assert torch.equal(numbers.top[-1, 0], output.argmax(-1))
    labels = rows.labels[0]
    kl = F.kl_div(early, output, log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(numbers.kl[1, 0], kl)
    assert numbers.kl[-1].abs().max() == 0
    ranks = [1 + int((early[place] > early[place, label]).sum()) for place, label in enumerate(labels.tolist())]
    assert numbers.rank[1, 0].tolist() == ranks
    torch.testing.assert_close(numbers.nats[1, 0], -early.gather(1, labels[:, None]).squeeze(1))
    assert numbers.agrees[1, 0].tolist() == (early.argmax(-1) == output.argmax(-1)).float().tolist()


def test_settled_is_the_first_place_from_which_on_all_agree():
    agrees = torch.tensor([[1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1]]).float()
    assert settled_at(agrees).tolist() == [0.0, 0.5, 1.0, 1.0]
    assert settled_at(agrees[2:]).tolist() == [0, 0, 0, 0]


def test_a_model_whose_blocks_do_nothing_knows_all_at_once(tmp_path):
    measured = LogitLensConfig(path=text_file(tmp_path)).build("logit_lens", facts())(
        subject(model(zero_init_outputs=True, tie_embeddings=True))
    )
    values = {name.removeprefix("logit_lens/"): value for name, value in measured.values().items()}
    assert values["kl"] == values["kl/embedding"] == values["kl/0"] == 0 and values["settled"] == 0
    assert values["agreement"] == 1


def test_tokens_that_are_only_read_are_not_asked(tmp_path):
    """The last row of the text is filled up."""
    analysis = built(tmp_path)
    measured = analysis(subject(model()))
    tokens = len(TOKENIZER.encode(analysis.rows.text.tokenizer.decode(analysis.rows.text.shards.all_tokens)))
    assert measured.statistics("settled")[:, 1].sum() == tokens + 1  # the separator at the end too
    assert analysis.size == math.ceil((tokens + 1) / SEQ_LEN)


def test_numbers_do_not_depend_on_rows_side_by_side(tmp_path):
    one, many = (built(tmp_path)(subject(model(), rows=rows)) for rows in (1, 16))
    for name in one.quantities:
        np.testing.assert_allclose(one.statistics(name), many.statistics(name), rtol=1e-4, atol=1e-4)


def test_table_and_picture(tmp_path):
    analysis = built(tmp_path, "gru")
    measured = analysis(subject(model("gru")))
    (table,) = analysis.tables(measured)
    assert [row[0] for row in table.rows] == ["0", "1", "2"] and all(
        len(row) == len(table.columns) for row in table.rows
    )
    assert table.rows[2][1] == pytest.approx(measured.value("loss"))
    assert analysis.draw(measured, canvas(9.0, 5.0))


def test_embedded_text_where_the_data_are_not_here():
    analysis = LogitLensConfig(limit=3).build("logit_lens", facts())
    assert analysis.size == 3 and "standard library" in analysis.facts["records"]


def test_what_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="limit=0 leaves nothing"):
        LogitLensConfig(limit=0)
    with pytest.raises(ConfigError, match=r"split=vla is none\. Did you mean 'val'"):
        LogitLensConfig(split="vla")
    with pytest.raises(DataError, match=r"analyses\.lens\.path="):
        LogitLensConfig(path=str(tmp_path / "nothing.txt")).build("lens", facts())
    with pytest.raises(ConfigError, match=r"analyses\.logit_lens\.seq_len=100: the model reads 64 tokens"):
        built(tmp_path, seq_len=100)(subject(model()))


class Stranger(LanguageModel):
    """A kind of model that is not known here."""


def test_a_model_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="not that of a Stranger"):
        lens_points(Stranger(8, 8, 8))
