"""Numbers of the weights by block, against the matrices themselves."""

import math

import pytest
import torch
from torch.nn.init import eye_, zeros_

from prospero.analysis.dynamics.matrices import matrix_numbers
from prospero.analysis.matrices import MatricesConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.rnn import GRUConfig
from prospero.model.transformer import TransformerConfig
from prospero.runs.figures import canvas

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))


def measured(model, kind: str = "transformer", **settings) -> Measured:
    n_heads = 4 if kind == "transformer" else None
    facts = AnalysisFacts(tokenizer=TOKENIZER, model_kind=kind, n_layers=2, n_heads=n_heads, seq_len=16)
    subject = Subject(decoder=ModelDecoder(model), tokenizer=TOKENIZER, name="m", model=model)
    return MatricesConfig(**settings).build("matrices", facts)(subject)


def transformer(**settings):
    torch.manual_seed(1)
    return TransformerConfig(n_layers=2, d_model=16, n_heads=4, n_kv_heads=2, **settings).build(257, 16).eval()


def test_the_numbers_of_a_block_are_those_of_its_matrices():
    model = transformer()
    found = measured(model)
    own = [matrix_numbers(p.detach()) for p in model.blocks[1].parameters() if p.dim() == 2]
    assert len(own) == 7
    assert found.value("norm/1") == pytest.approx(math.sqrt(sum(one.frobenius_norm**2 for one in own)))
    assert found.value("gini/1") == pytest.approx(sum(one.gini for one in own) / 7)
    assert found.value("effective_rank") < 1 and found.value("hoyer/0") > 0
    assert found.value("log10_condition_number/1") == pytest.approx(
        sum(math.log10(one.condition_number) for one in own) / 7
    )


def test_a_head_that_copies_has_circuits_of_full_rank_and_one_of_zeros_has_none():
    model = transformer()
    for part in ("q", "k", "v", "out"):
        eye_(model.get_parameter(f"blocks.0.attention.{part}.weight"))
        zeros_(model.get_parameter(f"blocks.1.attention.{part}.weight"))
    found = measured(model)
    assert found.value("ov_effective_rank/1") == found.value("qk_effective_rank/1") == 0
    # Head 1 of 4, of two key/value heads: its part of out reads dimensions 4 to 7, its values are those of 0 to 3.
    assert found.value("ov_effective_rank/0") == pytest.approx(1)
    assert found.value("qk_effective_rank/0") == pytest.approx(1)
    assert math.isfinite(found.value("gini/1")), "matrices of zeros have no Gini index and are left out"


def test_a_recurrent_model_has_matrices_and_no_circuits():
    found = measured(GRUConfig(n_layers=2, d_model=16).build(257, 16).eval(), "gru")
    assert "ov_effective_rank" not in found.quantities and found.value("norm/1") > 0
    assert "ov_effective_rank" not in measured(transformer(), circuits=False).quantities


def test_the_table_has_every_matrix_and_head_and_the_picture_every_number():
    found = measured(transformer())
    (table,) = found.measurement.tables(found)
    assert len(table.rows) == 2 + 2 * 7 + 2 * 2 * 4 and all(len(row) == len(table.columns) for row in table.rows)
    assert table.rows[0][:2] == ["embedding.weight", "257 x 16"]
    assert found.measurement.draw(found, figure := canvas(9, 5)) and len(figure.axes) == 6
