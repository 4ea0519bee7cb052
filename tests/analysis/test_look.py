"""The page of one text: its numbers are the model's, it stands alone, and no text becomes HTML."""

import base64
import json
import re

import pytest
import torch

from prospero.analysis.attribution import Baseline, baseline_embedding
from prospero.analysis.look.glimpse import TOLERANCE, glimpse
from prospero.analysis.look.page import look_page
from prospero.analysis.look.settings import Attributions
from prospero.checkpoints.model_folder import describe_model, save_model_folder
from prospero.commands.look import LookConfig, look
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.model.hooks import record, replace
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))
TEXT = "</script><b>&é"
IDS = TOKENIZER.encode(TEXT)


def model(config=None):
    torch.manual_seed(0)
    config = config or TransformerConfig(n_layers=2, d_model=16, n_heads=2, n_kv_heads=1, init_std=0.3)
    return config.build(TOKENIZER.vocab_size, 32).eval()


@pytest.fixture(scope="module")
def seen():
    return glimpse(model(), TOKENIZER, IDS, Attributions.integrated_gradients, 512)


def test_what_was_expected_is_the_output_of_the_model(seen):
    log_p = model()(torch.tensor([IDS])).logits[0].log_softmax(-1)
    own = log_p[:-1].gather(1, torch.tensor(IDS[1:]).unsqueeze(1))[:, 0]
    torch.testing.assert_close(seen.surprise[1:], -own / torch.log(torch.tensor(2.0)))
    assert seen.surprise[0].isnan() and seen.rank[0] == 0
    for place, token in enumerate(IDS[1:], start=1):
        assert seen.rank[place] == 1 + int((log_p[place - 1] > log_p[place - 1, token]).sum())
    torch.testing.assert_close(seen.probability[:, 0], log_p.exp().max(dim=-1).values)
    assert seen.likely[:, 0].tolist() == log_p.argmax(-1).tolist()


def test_the_lens_ends_at_the_output_and_attention_is_that_of_the_heads(seen):
    assert seen.places == ["embedding", "block.0.residual", "block.1.residual"]
    assert torch.equal(seen.lens[-1], seen.likely[:, :3])
    torch.testing.assert_close(seen.lens_probability[-1], seen.probability[:, :3])
    own = model()
    with record(own, ["block.1.attention.weights"]) as found:
        own(torch.tensor([IDS]))
    torch.testing.assert_close(seen.attention[1], found["block.1.attention.weights"][0])


def test_attributions_add_up_to_the_difference_from_the_baseline(seen):
    own = model()
    mean = baseline_embedding(own, Baseline.mean, TOKENIZER)
    for place in range(1, len(IDS) + 1):
        row = torch.tensor([IDS[:place]])
        wanted = IDS[place] if place < len(IDS) else int(seen.likely[-1, 0])
        with_text = own(row).logits[0, -1].log_softmax(-1)[wanted]
        with replace(own, {"embedding": mean}):
            without = own(row).logits[0, -1].log_softmax(-1)[wanted]
        difference = float((with_text - without).detach())
        assert float(seen.attributions[place].sum()) == pytest.approx(difference, abs=TOLERANCE + 1e-4)
        assert not seen.attributions[place, place:].any()


def test_an_rnn_has_no_attention_and_no_attribution_is_none():
    found = glimpse(model(LSTMConfig(n_layers=2, d_model=16)), TOKENIZER, IDS, Attributions.none, 8)
    assert found.attention == [] and found.attributions is None and found.places == ["block.0.output", "block.1.output"]
    assert '"attributions": null' in look_page("t", {}, found, TOKENIZER)


def test_the_page_stands_alone_and_holds_texts_as_texts(seen):
    page = look_page("a <b> title", {"model": "<i>"}, seen, TOKENIZER)
    assert not re.search(r"https?://|src=|href=|@import|url\(", page)
    assert page.count("</script>") == 2 and "<b>" not in page and "<i>" not in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert "".join(data["texts"][str(token)] for token in data["ids"][:13]) == TEXT[:13]
    rows = base64.b64decode(data["attention"][1][0])
    n = len(IDS)
    assert len(rows) == n * (n + 1) // 2
    last = torch.tensor(list(rows[-n:])) / 255
    torch.testing.assert_close(last, seen.attention[1][0, -1], atol=1 / 500, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one text.*neither is given"),
        ({"prompt": "a", "prompt_file": "b"}, "both are given"),
        ({"prompt": "a", "tokens": 0}, "tokens=0 must be at least 1"),
        ({"prompt": "a", "steps": 2}, "steps=2 must be at least 8"),
        ({"prompt": "a", "run": " "}, "run= is empty"),
    ],
)
def test_mistakes_in_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        LookConfig(**settings)


def test_the_page_of_a_model_folder_and_what_leaves_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TransformerConfig(n_layers=1, d_model=16, n_heads=2)
    sizes = {"vocab_size": TOKENIZER.vocab_size, "max_seq_len": 16}
    save_model_folder(tmp_path / "m", config.build(**sizes).state_dict(), TOKENIZER, describe_model(config, **sizes))
    for prompt, tokens, message in (
        ("", 128, "text is empty"),
        ("abcdef", 5, "has 6 tokens, and tokens=5"),
        ("x" * 20, 128, "has 20 tokens, and the model reads 16 at once"),
    ):
        with pytest.raises(ConfigError, match=message):
            look(LookConfig(run="m", prompt=prompt, tokens=tokens, out="page.html"))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert look(LookConfig(run="m", prompt="a b", attribution=Attributions.gradient_x_input)) == 0
    (page,) = (tmp_path / "outputs" / "analyses" / "m").iterdir()
    assert page.name.startswith("look-a_b-") and "gradient_x_input" in page.read_text()
