"""Induction: a model that was taught to copy has it, one that cannot learn it has not."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from prospero.analysis.induction import Induction, InductionConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.base import LanguageModel
from prospero.model.hooks import record
from prospero.model.transformer import TransformerConfig
from prospero.runs.figures import canvas
from tests.analysis.small_models import facts, model, subject

LETTERS = CharTokenizerConfig().build(lambda: iter(["abcdefghijklmnopqrstuvwxyzABCDEF"]))
IDS = torch.tensor([id_ for id_, written in enumerate(LETTERS.bytes_of()) if written])
LENGTH, ROWS, RATE = 32, 24, 4e-3


def attention_only(n_layers: int) -> LanguageModel:
    """Return a Transformer whose feed-forward layers add nothing, and never will."""
    network = TransformerConfig(n_layers=n_layers, d_model=64, n_heads=2, d_ff=8).build(LETTERS.vocab_size, 64)
    for block in network.blocks:
        torch.nn.init.zeros_(block.feed_forward.down.weight)
        block.feed_forward.requires_grad_(False)
    return network


def taught_to_copy(n_layers: int, steps: int, seed: int) -> Measured:
    """Train on repeated random letters, of a period that changes so that no fixed distance helps; measure."""
    torch.manual_seed(seed)
    network, generator = attention_only(n_layers), torch.Generator().manual_seed(seed)
    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / 30)
        period = int(torch.randint(5, 13, (1,), generator=generator))
        drawn = IDS[torch.rand(ROWS, len(IDS), generator=generator).argsort(1)[:, :period]]
        rows = drawn.repeat(1, LENGTH // period + 1)[:, :LENGTH]
        inputs = torch.cat((torch.full((ROWS, 1), LETTERS.eot_id), rows[:, :-1]), dim=1)
        told = slice(period + 1, None)  # what comes for the second time
        logits = network(inputs).logits[:, told]
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, told].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    known = AnalysisFacts(tokenizer=LETTERS, model_kind="transformer", n_layers=n_layers, n_heads=2, seq_len=64)
    analysis = InductionConfig(period=10, repeats=3, limit=8).build("induction", known)
    return analysis(Subject(decoder=ModelDecoder(network), tokenizer=LETTERS, name="taught", model=network))


@pytest.mark.heavy
def test_two_layers_learn_induction():
    measured = taught_to_copy(2, steps=150, seed=1)
    assert measured.value("score") > 0.7 and measured.value("prefix_matching") > 0.7
    assert measured.value("accuracy") > 0.9 and measured.value("gain") > 3


@pytest.mark.heavy
def test_one_layer_cannot():
    measured = taught_to_copy(1, steps=100, seed=1)
    assert measured.value("score") < 0.2 and measured.value("accuracy") < 0.6


@pytest.mark.deep
@pytest.mark.parametrize("seed", [2, 3])
def test_that_is_no_luck(seed):
    assert taught_to_copy(2, steps=300, seed=seed).value("score") > 0.7
    assert taught_to_copy(1, steps=400, seed=seed).value("score") < 0.2


def built(kind="transformer", **settings) -> Induction:
    return InductionConfig(**{"period": 5, "repeats": 3, "limit": 4, **settings}).build("induction", facts(kind))


def test_accuracy_and_gain_by_hand():
    network, analysis = model(), built()
    measured = analysis(subject(network))
    rows = analysis.made_of.rows([0])
    with torch.no_grad():
        said = network(rows.input_ids).logits[0].log_softmax(-1)
    labels = rows.labels[0]
    nats = [-float(said[place, labels[place]]) for place in range(15)]
    statistics = measured.outcomes[0].statistics
    assert statistics["gain"] == pytest.approx([sum(nats[:5]), 5, sum(nats[6:]), 9], rel=1e-5)
    right = [place for place in range(6, 15) if int(said[place].argmax()) == int(labels[place])]
    assert statistics["accuracy"] == [len(right), 9]
    assert labels[-1] == -100 and rows.input_ids[0, 0] == analysis.made_of.start


def test_scores_by_hand():
    """Rows are start, a b c d e, a b c d e, a b c d e: the first token of the second period stands at place 6."""
    network, analysis = model(), built()
    with torch.no_grad(), record(network, ["block.1.attention.weights"]) as found:
        network(analysis.made_of.rows([0]).input_ids)
    weights = found["block.1.attention.weights"][0]  # [N, T, T]
    statistics = analysis(subject(network)).outcomes[0].statistics
    score = sum(weights[:, query, query - 4] for query in range(6, 11)) / 5
    assert statistics["score"][4:8] == pytest.approx(score.tolist(), rel=1e-5) and statistics["score"][-1] == 1
    later = [sum(weights[:, query, query - 4 - 5 * back] for back in range(1 + (query > 10))) for query in range(6, 16)]
    assert statistics["prefix_matching"][4:8] == pytest.approx((sum(later) / 10).tolist(), rel=1e-5)


def test_a_recurrent_model_is_asked_to_copy_alone():
    measured = built("lstm")(subject(model("lstm")))
    assert list(measured.quantities) == ["accuracy", "gain"] and np.isfinite(measured.value("gain"))
    assert built("lstm").tables(measured) == [] and not built("lstm").draw(measured, canvas(9.0, 5.0))


def test_table_and_picture():
    analysis = built()
    measured = analysis(subject(model()))
    (table,) = analysis.tables(measured)
    assert len(table.rows) == 8 and table.rows[0][2] == pytest.approx(measured.value("score"))
    assert {tuple(row[:2]) for row in table.rows} == {(block, head) for block in range(2) for head in range(4)}
    assert analysis.draw(measured, canvas(9.0, 5.0))


def test_the_period_fits_the_models_sequences():
    assert InductionConfig().build("induction", facts(seq_len=None)).made_of.period == 25
    assert InductionConfig().build("induction", facts(seq_len=41)).made_of.period == 10
    with pytest.raises(ConfigError, match=r"4 times 2 tokens and one before them are longer than the 8"):
        InductionConfig().build("induction", facts(seq_len=8))
    with pytest.raises(ConfigError, match="choose a smaller period"):
        InductionConfig(period=11).build("induction", facts(seq_len=41))


@pytest.mark.parametrize("name", ["period", "repeats", "limit"])
def test_impossible_settings_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name}=0"):
        InductionConfig(**{name: 0})
