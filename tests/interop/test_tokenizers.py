"""Tokenizers in and out: equal ids for every text, whatever it holds."""

import json

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, processors, trainers

from prospero.data.rendering.chat_template import CHATML, PLAIN, ChatTemplate, ids_of, named_control_tokens
from prospero.data.tokenizer.bpe import BPETokenizerConfig, Pattern
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.data.tokenizer.tokenizer import Tokenizer, load_tokenizer
from prospero.errors import DataError
from prospero.interop.tokenizer_in import read_tokenizer
from prospero.interop.tokenizer_out import write_tokenizer
from tests.interop.foreign import TEXTS, trained_tokenizer, transformers

NASTY = [
    *("", " ", "   leading", "trailing  ", "a\r\nb\rc\n\n", "nul\0inside", "\t\ttabs", "é è ê", "e\u0301"),
    *("👩‍👩‍👧‍👦 family", "日本語のテキスト", "مرحبا", "1234567 89", "x<|endoftext|>y", "<s> </s> <unk> <bos> [SEP]"),
    *("don't WON'T", "a" * 300, "def f():\n    return  0\n", "\u200b\ufeff", "\U0010ffff", "<0x0A>", "▁under"),
]


def bpe(pattern: Pattern) -> Tokenizer:
    return BPETokenizerConfig(vocab_size=290, pattern=pattern).build(lambda: iter(TEXTS))


def sentencepiece() -> tokenizers.Tokenizer:
    """As Llama 1 and 2 and Gemma have it: spaces are a letter, unknown bytes are tokens, <s> before every text."""
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    inner = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=320, special_tokens=["<unk>", "<s>", "</s>", *names], show_progress=False)
    )
    plain = json.loads(inner.to_str())
    plain["added_tokens"] = []
    inner = tokenizers.Tokenizer.from_str(json.dumps(plain))
    inner.add_special_tokens([AddedToken(name, normalized=False) for name in ("<unk>", "<s>", "</s>")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    inner.decoder = decoders.Sequence(parts)
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", inner.token_to_id("<s>"))]
    )
    return inner


MADE = {
    "gpt2 pattern": lambda: bpe(Pattern.gpt2),
    "gpt4 pattern": lambda: bpe(Pattern.gpt4),
    "byte": lambda: ByteTokenizerConfig().build(),
    "char": lambda: CharTokenizerConfig().build(lambda: iter(TEXTS)),
    "begins texts": lambda: Tokenizer(trained_tokenizer().inner, bos="<|endoftext|>"),
    "sentencepiece": lambda: Tokenizer(sentencepiece(), "</s>", "<s>"),
}


@pytest.mark.parametrize("name", MADE)
def test_auto_tokenizer_gives_our_ids(name, tmp_path):
    ours = MADE[name]()
    write_tokenizer(ours, tmp_path, model_max_length=64)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    before = [] if ours.bos_id is None else [ours.bos_id]
    for text in NASTY:
        ids = ours.encode(text)
        assert theirs(text, add_special_tokens=False)["input_ids"] == ids, text
        assert theirs(text)["input_ids"] == before + ids, text
        assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids), text
    assert theirs.eos_token_id == theirs.pad_token_id == ours.eot_id
    assert theirs.bos_token_id == (ours.eot_id if ours.bos_id is None else ours.bos_id)
    assert sorted(theirs(["a"], return_tensors=None)) == ["attention_mask", "input_ids"]
    again = read_tokenizer(tmp_path, {})
    assert (again.eot_id, again.bos_id) == (ours.eot_id, ours.bos_id)
    assert [again.encode(text) for text in NASTY] == [ours.encode(text) for text in NASTY]


def test_a_tokenizer_of_theirs_gives_their_ids_and_says_what_begins_a_text(tmp_path):
    sentencepiece().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    ours = read_tokenizer(tmp_path, {"eos_token_id": [2, 5]})
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in NASTY:
        wanted = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert ours.encode(text) == wanted, text
    assert (ours.eot_token, ours.bos_token, ours.bos_id) == ("</s>", "<s>", 1)
    ours.save(tmp_path / "saved" / "tokenizer.json")
    assert load_tokenizer(tmp_path / "saved").bos_id == 1


def test_the_older_pair_of_files_is_gpt2(tmp_path):
    plain = json.loads(bpe(Pattern.gpt2).inner.to_str())["model"]
    vocabulary = plain["vocab"]
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in plain["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    ours = read_tokenizer(tmp_path, {"eos_token_id": vocabulary["<|endoftext|>"]})
    theirs = transformers.GPT2TokenizerFast.from_pretrained(tmp_path)
    for text in NASTY:
        wanted = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert ours.encode(text) == wanted, text
    assert ours.eot_id == vocabulary["<|endoftext|>"]


def test_add_bos_token_says_it_where_there_is_no_template(tmp_path):
    trained_tokenizer().inner.save(str(tmp_path / "tokenizer.json"))
    said = {"add_bos_token": True, "bos_token": {"content": "<|endoftext|>"}, "eos_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    assert read_tokenizer(tmp_path, {}).bos_token == "<|endoftext|>"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**said, "add_bos_token": False}))
    assert read_tokenizer(tmp_path, {}).bos_token is None


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no tokenizer: tokenizer.json is missing"),
        ({"tokenizer.model": ""}, "tokenizer.model of SentencePiece and no tokenizer.json"),
        ({"vocab.json": "{", "merges.txt": ""}, "are no BPE"),
        ({"tokenizer.json": None, "tokenizer_config.json": "[]"}, "it holds no table"),
    ],
)
def test_what_is_no_tokenizer_is_one_line(files, said, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(trained_tokenizer().inner.to_str() if text is None else text)
    with pytest.raises(DataError, match=said):
        read_tokenizer(tmp_path, {})


def test_a_tokenizer_without_an_end_is_refused(tmp_path):
    inner = tokenizers.Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    inner.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match="does not say which token ends a text"):
        read_tokenizer(tmp_path, {})
    assert read_tokenizer(tmp_path, {"eos_token_id": 0}).eot_token == "a"


ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why is 日本 here?\n\n  x"}]
ANSWERED = [
    *ASKED, {"role": "assistant", "content": "Because."}, {"role": "user", "content": "Oh."},
    {"role": "assistant", "content": "Is that all?"},
]  # fmt: skip


@pytest.mark.parametrize("name", ["gpt4 pattern", "byte", "begins texts", "sentencepiece"])
@pytest.mark.parametrize("source", [PLAIN, CHATML, "{{ bos_token }}" + CHATML], ids=["plain", "chatml", "with bos"])
def test_apply_chat_template_gives_our_ids_and_the_template_comes_back(name, source, tmp_path):
    ours = MADE[name]()
    ours = ours.with_control_tokens(named_control_tokens(source), source)
    write_tokenizer(ours, tmp_path, model_max_length=64)
    theirs, template = transformers.AutoTokenizer.from_pretrained(tmp_path), ChatTemplate.of(ours)
    prompt = theirs.apply_chat_template(ASKED, add_generation_prompt=True, tokenize=True, return_dict=False)
    whole = theirs.apply_chat_template(ANSWERED, tokenize=True, return_dict=False)
    if name != "sentencepiece":  # it puts a space before every text, so that ids depend on where a text is cut
        assert ids_of(template.prompt(ASKED), ours) == prompt
        assert ids_of(template.spans(ANSWERED), ours) == whole
    text = theirs.apply_chat_template(ANSWERED, tokenize=False)
    assert "".join(span.text for span in template.spans(ANSWERED)) == text
    again = read_tokenizer(tmp_path, {})
    assert ids_of(ChatTemplate.of(again).spans(ANSWERED), again) == ids_of(template.spans(ANSWERED), ours)


def test_a_template_is_found_in_a_file_of_its_own_and_among_several(tmp_path):
    write_tokenizer(MADE["byte"](), tmp_path, model_max_length=64)
    config = tmp_path / "tokenizer_config.json"
    several = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": several}))
    assert read_tokenizer(tmp_path, {}).chat_template == load_tokenizer(tmp_path).chat_template == "D"
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}F")
    assert load_tokenizer(tmp_path).chat_template == "{{ bos_token }}F"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"bos_token": "<s>"}))
    assert read_tokenizer(tmp_path, {}).chat_template == '{%- set bos_token = "<s>" -%}{{ bos_token }}F'
