"""The detector as an analysis: texts with the mark and without."""

import pytest
import torch

from prospero.analysis.watermark import WatermarkAnalysisConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.generation.sampling import SamplingConfig, choose, generator_of
from prospero.generation.watermark import WatermarkConfig
from prospero.model.rnn import GRUConfig

KEY = WatermarkConfig(key="ours")
TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))


def facts():
    return AnalysisFacts(tokenizer=TOKENIZER, model_kind="gru", n_layers=1)


def subject():
    model = GRUConfig(n_layers=1, d_model=8).build(TOKENIZER.vocab_size, 16)
    return Subject(decoder=ModelDecoder(model), tokenizer=TOKENIZER, name="any")


@pytest.fixture(scope="module")
def texts():
    """A marked text and a plain one, of letters all equally likely."""
    found, tokenizer = [], TOKENIZER
    letters = torch.full((1, tokenizer.vocab_size), float("-inf"))
    letters[0, [*tokenizer.encode("abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ")]] = 0.0
    for watermark in (KEY, WatermarkConfig()):
        ids, sampling = list(tokenizer.encode("a")), SamplingConfig(temperature=1.0, top_p=1.0, watermark=watermark)
        draws = generator_of(1, 0)
        for _ in range(200):
            ids.append(int(choose(letters, sampling, [draws], [ids])))
        found.append(tokenizer.decode(ids))
    return found


def test_marked_texts_are_told_from_plain_ones(tmp_path, texts):
    for name, text in zip("ab", texts):
        (tmp_path / f"{name}.txt").write_text(text)
    found = WatermarkAnalysisConfig(path=str(tmp_path), key="ours").build("watermark", facts())(subject())
    z = found.scores("z")
    assert z[0] > 6 and z[1] < 3 and found.value("marked") == 0.5
    assert found.measurement.tables(found)[0].rows[0][3] == pytest.approx(z[0])
    assert "ours" not in str(found.facts)


def test_a_text_of_the_command_line_and_one_too_short_to_say(texts):
    assert WatermarkAnalysisConfig(text=texts[0], key="ours").build("w", facts())(subject()).value("z") > 6
    found = WatermarkAnalysisConfig(text="x", key="ours").build("w", facts())(subject())
    assert found.value("marked") != found.value("marked") and found.outcomes[0].record["z"] is None


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"analyses\.w\.key is not given"):
        WatermarkAnalysisConfig(text="x").build("w", facts())
    with pytest.raises(ConfigError, match=r"give analyses\.w\.path= or \.text="):
        WatermarkAnalysisConfig(key="ours").build("w", facts())
    with pytest.raises(DataError, match="nowhere"):
        WatermarkAnalysisConfig(path=str(tmp_path / "nowhere"), key="ours").build("w", facts())
    with pytest.raises(ConfigError, match="leave one out"):
        WatermarkAnalysisConfig(path="x", text="y")
