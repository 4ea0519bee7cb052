"""Size and kurtosis of the residual stream, against the numbers by hand."""

import numpy as np
import pytest

from prospero.analysis.activations import ActivationsConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts, build_analyses, check_openable
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.hooks import record
from prospero.model.rnn import GRUConfig
from prospero.model.transformer import TransformerConfig

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))
MODELS = {
    "transformer": TransformerConfig(n_layers=2, d_model=16, n_heads=2),
    "gru": GRUConfig(n_layers=2, d_model=16),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_numbers_are_those_of_all_activations_together(kind, tmp_path):
    (tmp_path / "text.txt").write_text("Forty-one letters make the last row short")
    model = MODELS[kind].build(TOKENIZER.vocab_size, 16).eval()
    facts = AnalysisFacts(tokenizer=TOKENIZER, model_kind=kind, n_layers=2, n_heads=2, seq_len=16)
    (analysis,) = build_analyses({"activations": ActivationsConfig(path=str(tmp_path / "text.txt"))}, facts)
    subject = Subject(decoder=ModelDecoder(model), tokenizer=TOKENIZER, name="m", model=model)
    measured = analysis(subject)
    point = "block.*.residual" if kind == "transformer" else "block.*.output"
    with record(model, [point]) as found:
        rows = analysis.rows.read(range(analysis.size))
        model(rows.input_ids)
    for layer, values in enumerate(found.values()):
        x = values.detach()[rows.labels >= 0].double().numpy()
        assert measured.value(f"rms/{layer}") == pytest.approx(np.sqrt((x**2).mean()), rel=1e-6)
        assert measured.value(f"kurtosis/{layer}") == pytest.approx((x**4).mean() / (x**2).mean() ** 2, rel=1e-6)
    assert analysis.tables(measured)[0].rows[1][0] == 1


def test_a_model_that_cannot_be_opened_is_refused():
    facts = AnalysisFacts(tokenizer=TOKENIZER, model_kind="transformer", n_layers=2, n_heads=2, seq_len=16)
    analyses = build_analyses({"activations": ActivationsConfig()}, facts)
    subject = Subject(decoder=None, tokenizer=TOKENIZER, name="model.onnx")
    with pytest.raises(ConfigError, match=r"activations looks inside.*model\.onnx cannot be opened"):
        check_openable(analyses, subject)
    with pytest.raises(ConfigError, match="limit=0 leaves nothing to look at"):
        ActivationsConfig(limit=0)
