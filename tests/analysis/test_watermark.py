"""The detector as an analysis: texts with the mark and without."""

import pytest
import torch

from prospero.analysis.watermark import WatermarkAnalysisConfig
from prospero.errors import ConfigError, DataError
from prospero.generation.sampling import SamplingConfig, choose, generator_of
from prospero.generation.watermark import WatermarkConfig
from tests.analysis.memorising import data, facts, subject

KEY = WatermarkConfig(key="ours")


@pytest.fixture(scope="module")
def texts():
    """A marked text and a plain one, of letters all equally likely."""
    found, tokenizer = [], data().tokenizer
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
    found = WatermarkAnalysisConfig(path=str(tmp_path), watermark=KEY).build("watermark", facts())(subject())
    z = found.scores("z")
    assert z[0] > 6 and z[1] < 3 and found.value("marked") == 0.5
    assert found.measurement.tables(found)[0].rows[0][3] == pytest.approx(z[0])
    assert "ours" not in str(found.facts)


def test_a_text_of_the_command_line_and_one_too_short_to_say(texts):
    assert WatermarkAnalysisConfig(text=texts[0], watermark=KEY).build("w", facts())(subject()).value("z") > 6
    found = WatermarkAnalysisConfig(text="x", watermark=KEY).build("w", facts())(subject())
    assert found.value("marked") != found.value("marked") and found.outcomes[0].record["z"] is None


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"analyses\.w\.watermark\.key is not given"):
        WatermarkAnalysisConfig(text="x").build("w", facts())
    with pytest.raises(ConfigError, match=r"give analyses\.w\.path= or \.text="):
        WatermarkAnalysisConfig(watermark=KEY).build("w", facts())
    with pytest.raises(DataError, match="nowhere"):
        WatermarkAnalysisConfig(path=str(tmp_path / "nowhere"), watermark=KEY).build("w", facts())
    with pytest.raises(ConfigError, match="leave one out"):
        WatermarkAnalysisConfig(path="x", text="y")
