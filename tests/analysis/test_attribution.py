"""What made a token likely: sums, leaving one out by hand, targets, and what a user may get wrong."""

import copy

import pytest
import torch
from matplotlib.figure import Figure

from prospero.analysis.attribution import (
    METHODS,
    AttributionConfig,
    Baseline,
    baseline_embedding,
    explain,
    rank_correlation,
    score_of,
)
from prospero.analysis.unit_texts import token_text
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.rnn import GRUConfig, LSTMConfig
from prospero.model.transformer import Position, TransformerConfig

TOKENIZER = ByteTokenizerConfig().build()
IDS = [5, 9, 2, 7, 30, 11]
MODELS = {
    "transformer": TransformerConfig(n_layers=2, d_model=32, n_heads=4, init_std=0.2),
    "learned positions": TransformerConfig(
        n_layers=2, d_model=32, n_heads=4, init_std=0.2, position=Position.learned, embedding_scale=2.0
    ),
    "lstm": LSTMConfig(n_layers=2, d_model=16, d_embedding=8),
    "gru": GRUConfig(n_layers=1, d_model=16),
}
FACTS = AnalysisFacts(tokenizer=TOKENIZER, model_kind="transformer", n_layers=2)


def built(name: str):
    torch.manual_seed(0)
    return MODELS[name].build(TOKENIZER.vocab_size, 64).eval()


def subject(model):
    return Subject(decoder=ModelDecoder(model), tokenizer=TOKENIZER, name="tiny", rows=4, model=model)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("baseline", Baseline)
def test_integrated_gradients_sum_to_the_difference(name, baseline):
    model = built(name)
    at = baseline_embedding(model, baseline, TOKENIZER)
    found = explain(model, IDS, [3], baseline=at, steps=4096, tolerance=0.01)
    logits = model(torch.tensor([IDS])).logits[0, -1].log_softmax(-1)
    assert found.log_probability == pytest.approx(logits[3].item(), abs=1e-5)
    contributions = found.by_method["integrated_gradients"]
    assert float(contributions.sum()) == pytest.approx(found.log_probability - found.baseline, abs=0.01)
    assert abs(found.gap) <= 0.01
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_leaving_one_out_by_hand(name):
    """Every token stands once in the text, so that its row of the embedding can be changed in its place."""
    model = built(name)
    at = baseline_embedding(model, Baseline.mean, TOKENIZER)
    found = explain(model, IDS, [3], baseline=at, steps=8, tolerance=1.0, rows=4).by_method["leave_one_out"]
    for place, id_ in enumerate(IDS):
        other = copy.deepcopy(model)
        with torch.no_grad():
            other.embedding.weight[id_] = at
        lost = [m(torch.tensor([IDS])).logits[0, -1].log_softmax(-1)[3].item() for m in (model, other)]
        assert float(found[place]) == pytest.approx(lost[0] - lost[1], abs=1e-5)


def test_a_target_of_several_tokens_is_one_sum_and_only_the_prompt_is_explained():
    model = built("transformer")
    logits = model(torch.tensor([[*IDS, 3, 4]])).logits[0].log_softmax(-1).detach()
    by_hand = float(logits[5, 3] + logits[6, 4] + logits[7, 1])
    fixed = model.embedding(torch.tensor([3, 4])).detach()
    score = score_of(model, [*IDS, 3, 4, 1], 6, fixed)
    assert score(model.embedding(torch.tensor([IDS]))).item() == pytest.approx(by_hand, abs=1e-5)
    at = baseline_embedding(model, Baseline.pad, TOKENIZER)
    found = explain(model, IDS, [3, 4, 1], baseline=at, steps=512, tolerance=0.01)
    assert found.log_probability == pytest.approx(by_hand, abs=1e-5)
    assert all(len(found.by_method[method]) == 6 for method in METHODS)
    whole_pad = score(at.expand(1, 6, -1)).item()
    assert found.baseline == pytest.approx(whole_pad, abs=1e-5)


def test_a_prompt_is_explained_by_its_likeliest_token_or_the_one_that_is_asked_for():
    model = built("transformer")
    likely = AttributionConfig(prompts=["def f(", "x"]).build("attribution", FACTS)
    measured = likely(subject(model))
    record = measured.outcomes[0].record
    best = int(model(torch.tensor([TOKENIZER.encode("def f(")])).logits[0, -1].argmax())
    assert record["target"] == token_text(TOKENIZER, best)
    assert record["tokens"] == list("def f(")
    assert measured.value("complete") == 1.0
    assert len(likely.tables(measured)[0].rows) == 2
    asked = AttributionConfig(prompts=["def f("], target="é").build("attribution", FACTS)
    record = asked(subject(model)).outcomes[0].record
    assert record["target"] == "é"
    assert len(record["contributions"]["leave_one_out"]) == 6
    assert record["log_probability"] < measured.outcomes[0].record["log_probability"]


def test_it_can_be_drawn():
    analysis = AttributionConfig(prompts=["a $x$ b\n", "x"]).build("attribution", FACTS)
    figure = Figure()
    assert analysis.draw(analysis(subject(built("gru"))), figure)
    assert len(figure.axes) == 2
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][-1] == "\\n"


def test_rank_correlation():
    a = torch.tensor([1.0, 2.0, 3.0])
    assert rank_correlation(a, torch.tensor([1.0, 10.0, 11.0])) == pytest.approx(1.0)
    assert rank_correlation(a, -a) == pytest.approx(-1.0)
    assert torch.isnan(torch.tensor(rank_correlation(a, torch.ones(3))))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": 7}, "at least 8"),
        ({"tolerance": 0.0}, "above 0"),
        ({"prompts": ["a", ""]}, "empty text"),
        ({"prompts": ["a"], "path": "x"}, "leave path= and limit= out"),
        ({"target": "a"}, "prompts="),
        ({"prompts": ["a"], "target": ""}, "target= is empty"),
    ],
)
def test_what_cannot_be_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        AttributionConfig(**settings)


def test_a_text_longer_than_the_model_reads_is_refused():
    analysis = AttributionConfig(prompts=["x" * 65]).build("attribution", FACTS)
    with pytest.raises(ConfigError, match="text 1 has 65 tokens, and"):
        Measured(analysis, list(analysis.outcomes(subject(built("transformer")), [0])))
