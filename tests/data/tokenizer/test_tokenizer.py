"""What holds for every tokenizer: text comes back, literal specials stay text, files open elsewhere."""

import json
import pickle

import numpy as np
import pytest
import tokenizers

from prospero.data.tokenizer.bpe import BPETokenizerConfig, Pattern
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.data.tokenizer.tokenizer import StreamDecoder, Tokenizer, load_tokenizer
from prospero.errors import ConfigError, DataError

TEXT = (
    "Our revels now are ended. <|endoftext|> <unk>\n\n    def f(x):\n\treturn x ** 2.50  # naïve “quotes”\r\n"
    "日本語 Ελλάδα עברית 😀👩‍👩‍👧 é \u0301 ﬁ\n" * 3 + "trailing   \n\n\nend 's we'll 1234567"
)
CONFIGS = {
    "byte": ByteTokenizerConfig(),
    "char": CharTokenizerConfig(),
    "bpe-gpt4": BPETokenizerConfig(vocab_size=300),
    "bpe-gpt2": BPETokenizerConfig(vocab_size=300, pattern=Pattern.gpt2, max_digits=3),
}


@pytest.fixture(params=CONFIGS)
def tokenizer(request):
    return CONFIGS[request.param].build(lambda: iter([TEXT]))


def test_text_comes_back(tokenizer):
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


def test_literal_specials_stay_ordinary_text(tokenizer):
    ids = tokenizer.encode("a <|endoftext|> e <unk>")
    assert tokenizer.eot_id not in ids
    assert tokenizer.unknown_id is None or tokenizer.unknown_id not in ids
    assert tokenizer.decode([*ids, tokenizer.eot_id]) == "a <|endoftext|> e <unk>"


def test_the_vocabulary_size_is_real(tokenizer):
    used = tokenizer.inner.get_vocab()
    assert tokenizer.vocab_size == max(used.values()) + 1 == len(used)
    assert 0 <= tokenizer.eot_id < tokenizer.vocab_size
    assert max(tokenizer.encode(TEXT)) < tokenizer.vocab_size


def test_tables_and_library_agree(tokenizer):
    library = tokenizer.inner.encode(TEXT, add_special_tokens=False).ids
    batch = tokenizer.encode_batch([TEXT, "", "x"])
    assert batch[0].tolist() == library
    assert batch[1].tolist() == []
    assert all(ids.dtype == tokenizer.dtype for ids in batch)


def test_token_bytes_add_up_to_the_text(tokenizer):
    sizes = tokenizer.token_bytes()
    assert sizes.dtype == np.int32 and sizes.shape == (tokenizer.vocab_size,)
    assert sizes[tokenizer.encode(TEXT)].sum() == len(TEXT.encode())
    assert sizes[tokenizer.eot_id] == 0


def test_a_saved_tokenizer_is_the_same_here_and_elsewhere(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    for again in (
        load_tokenizer(tmp_path),
        load_tokenizer(tmp_path / "tokenizer.json"),
        pickle.loads(pickle.dumps(tokenizer)),
    ):
        assert again.fingerprint() == tokenizer.fingerprint()
        assert again.encode(TEXT) == tokenizer.encode(TEXT)
        assert again.eot_id == tokenizer.eot_id
    elsewhere = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ordinary = TEXT.replace("<", "(")
    if tokenizer.unknown_id is None:
        assert elsewhere.encode(ordinary, add_special_tokens=False).ids == tokenizer.encode(ordinary)


def test_transformers_opens_it(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    assert theirs.eos_token_id == tokenizer.eot_id
    assert theirs("revels now", add_special_tokens=False)["input_ids"] == tokenizer.encode("revels now")


def test_streamed_text_is_the_decoded_text_in_whole_characters(tokenizer):
    decoder = StreamDecoder(tokenizer)
    parts = [decoder.push(id_) for id_ in tokenizer.encode(TEXT)]
    assert "\ufffd" not in "".join(parts)
    assert "".join(parts) + decoder.finish() == TEXT


def test_long_texts_are_cut_without_changing_their_ids(tokenizer):
    text = TEXT * 30
    pieces = list(tokenizer.pieces(text, max_chars=200))
    assert "".join(pieces) == text
    assert [id_ for ids in tokenizer.encode_batch(pieces) for id_ in ids.tolist()] == tokenizer.encode(text)
    if tokenizer.is_byte_level:
        assert len(pieces) > 10 and max(map(len, pieces)) <= 200


def test_a_line_without_end_is_cut_all_the_same():
    tokenizer = ByteTokenizerConfig().build()
    pieces = list(tokenizer.pieces("x" * 1001, max_chars=100))
    assert "".join(pieces) == "x" * 1001 and max(map(len, pieces)) <= 100


def test_stream_of_half_a_character():
    tokenizer = ByteTokenizerConfig().build()
    decoder = StreamDecoder(tokenizer)
    first, second, third = "語".encode()
    assert [decoder.push(first), decoder.push(second), decoder.push(third)] == ["", "", "語"]
    assert decoder.push(first) == "" and decoder.push(tokenizer.eot_id) == ""
    assert decoder.finish() == "\ufffd"
    assert decoder.finish() == ""


def word_piece():
    vocabulary = {"[UNK]": 0, "[SEP]": 1, "is": 2, "##land": 3, "the": 4}
    inner = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.decoder = tokenizers.decoders.WordPiece()
    return inner


def test_tokenizers_of_other_kinds():
    tokenizer = Tokenizer(word_piece())
    assert tokenizer.eot_token == "[SEP]" and tokenizer.eot_id == 1
    ids = tokenizer.encode("the island")
    assert ids == [4, 2, 3] and tokenizer.unknown_id == 0
    assert tokenizer.token_bytes()[ids].sum() == len(" the island")
    decoder = StreamDecoder(tokenizer)
    assert "".join(decoder.push(id_) for id_ in ids) + decoder.finish() == "the island"


def test_a_tokenizer_without_separator_gets_one():
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    tokenizer = Tokenizer(inner)
    assert (tokenizer.eot_token, tokenizer.eot_id, tokenizer.vocab_size) == ("<|endoftext|>", 2, 3)


def test_bytes_of_sentence_piece_tokens():
    vocabulary = [("<unk>", 0.0), ("▁the", -1.0), ("<0xE8>", -2.0), ("le", -3.0), ("</s>", -9.0)]
    inner = tokenizers.Tokenizer(tokenizers.models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    decoders = tokenizers.decoders
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = Tokenizer(inner)
    assert tokenizer.bytes_of()[1:4] == [b" the", b"\xe8", b"le"]
    assert not tokenizer.is_context_free
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    decoder = StreamDecoder(tokenizer)
    assert "".join(decoder.push(id_) for id_ in (1, 3, 1)) == tokenizer.decode([1, 3, 1]) == "thele the"


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"model": 3}'])
def test_files_that_are_no_tokenizers(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=r"not a tokenizer\.json") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="no tokenizer at"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{", "3"])
def test_a_broken_file_beside_the_tokenizer(tmp_path, content):
    ByteTokenizerConfig().build().save(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(DataError, match=r"tokenizer_config\.json is not a JSON object"):
        load_tokenizer(tmp_path)


def test_the_separator_may_be_written_as_an_object(tmp_path):
    ByteTokenizerConfig().build().save(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<|end|>"}}))
    assert load_tokenizer(tmp_path).eot_token == "<|end|>"


LETTERS = ["t", "h", "e", " ", "x", "<eot>"]


def without_unknown(model: str) -> Tokenizer:
    """A tokenizer that knows five characters and has no token for the others."""
    models, ids = tokenizers.models, {letter: number for number, letter in enumerate(LETTERS)}
    inner = tokenizers.Tokenizer(
        {
            "unigram": lambda: models.Unigram([(letter, -3.0) for letter in LETTERS], unk_id=None),
            "bpe": lambda: models.BPE(vocab=ids, merges=[]),
            "byte-level": lambda: models.BPE(vocab={**ids, "Ġ": 6}, merges=[]),
            "word level": lambda: models.WordLevel({"the": 0, "x": 1, "<eot>": 2}),
            "word piece": lambda: models.WordPiece({"the": 0, "x": 1, "<eot>": 2}),
        }[model]()
    )
    if model == "byte-level":
        inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        inner.decoder = tokenizers.decoders.ByteLevel()
    elif model.startswith("word"):
        inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    else:
        inner.decoder = tokenizers.decoders.Fuse()
    return Tokenizer(inner, "<eot>")


@pytest.mark.parametrize("model", ["unigram", "bpe", "byte-level", "word level", "word piece"])
def test_what_cannot_be_written_is_refused_by_name_and_never_left_out(model):
    tokenizer = without_unknown(model)
    assert tokenizer.decode(tokenizer.encode("the x")).replace(" ", "") == "thex"
    with pytest.raises(
        DataError, match=r"the tokenizer has no token for 'é' \(U\+00E9\), nor one for what it does not"
    ):
        tokenizer.encode_batch(["the x", "the é the"])


def test_white_space_between_words_may_go_and_a_normalizer_may_change_what_it_likes():
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={"t": 0, "h": 1, "e": 2, "<eot>": 3}, merges=[]))
    inner.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.NFD(), tokenizers.normalizers.StripAccents(), tokenizers.normalizers.Lowercase()]
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    assert Tokenizer(inner, "<eot>").encode("Thé\n the") == [0, 1, 2, 0, 1, 2]


def test_control_tokens_are_added_at_the_end_and_text_never_becomes_one(tmp_path):
    plain = BPETokenizerConfig(vocab_size=300).build(lambda: iter(["abc <|user|> abc"] * 20))
    equipped = plain.with_control_tokens(["<|user|>", "<|end|>"], "{{ messages }}")
    assert [equipped.control_id(name) for name in ("<|user|>", "<|end|>")] == [plain.vocab_size, plain.vocab_size + 1]
    assert equipped.encode("a<|user|>b") == plain.encode("a<|user|>b") and plain.chat_template is None
    assert equipped.decode(equipped.encode("a<|user|>b")) == "a<|user|>b"
    equipped.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path)
    assert again.fingerprint() == equipped.fingerprint() and again.chat_template == "{{ messages }}"
    assert equipped.with_control_tokens(["<|user|>"]).fingerprint() == equipped.fingerprint()
    assert equipped.with_control_tokens([], "other").fingerprint() != equipped.fingerprint()
    assert pickle.loads(pickle.dumps(equipped)).chat_template == "{{ messages }}"
    with pytest.raises(DataError, match="no control token '<|system|>'".replace("|", r"\|")):
        equipped.control_id("<|system|>")
    with pytest.raises(ConfigError, match="'a' is an ordinary token"):
        plain.with_control_tokens(["a"])
