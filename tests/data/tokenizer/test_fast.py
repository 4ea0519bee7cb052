"""The fast encoder: the ids of `tokenizers` in every case, by whichever of the two it takes."""

import json
import logging
import os
import signal

import numpy as np
import pytest
import tokenizers

from prospero.data.tokenizer.bpe import BPETokenizerConfig, Pattern
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.fast import LEAST_CHARACTERS, SAMPLE_CHARACTERS, FastEncoder, fast_encoder
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import DataError
from tests.grids import grid

LINE = (
    "    def f(x):\r\n\treturn x ** 2.50  # naïve “quotes” 'S <|endoftext|>日本語 Ελλάδα 😀👩\u200d👧 é \u0301 "
    "ﬁ 1234567 we'll\x85 \u2028\n\n\n"
)
TEXT = LINE * (LEAST_CHARACTERS // len(LINE) + 1)
EVERY = [number for number in range(0x30000) if not 0xD800 <= number < 0xE000 and number != 0x180E]
SOME = [number for number in EVERY if number < 0x250 or 0x2000 <= number < 0x2070 or number % 61 == 0]


def sweep(numbers: list[int]) -> list[str]:
    """Each sign in fourteen places."""
    signs = [chr(number) for number in numbers]
    return [f"{s}x {s} {s}{s}\n{s}  {s}1{s}.{s}'{s}a{s}b  {s} .{s}\n" for s in signs]


class Slow:
    """`tokenizers`, and what it was asked; `shift` makes it give other ids."""

    def __init__(self, inner: tokenizers.Tokenizer, shift: int = 0) -> None:
        self.inner, self.shift, self.asked = inner, shift, []

    def __call__(self, texts):
        self.asked.extend(texts)
        found = self.inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(one.ids, np.uint16) + self.shift for one in found]


@pytest.fixture(scope="module", params=list(Pattern), ids=lambda pattern: pattern.name)
def tokenizer(request):
    return BPETokenizerConfig(vocab_size=600, pattern=request.param, max_digits=3).build(
        lambda: iter([LINE * 9, *sweep(SOME)])
    )


def encoder_of(tokenizer: Tokenizer, slow: Slow) -> FastEncoder:
    found = fast_encoder(tokenizer.inner.to_str(), np.uint16, slow)
    assert found is not None
    return found


def plain(arrays) -> list[list[int]]:
    return [ids.tolist() for ids in arrays]


@pytest.mark.parametrize("numbers", grid([SOME, EVERY], lambda numbers: numbers is SOME), ids=["some", "every"])
def test_ids_are_those_of_the_library_for_every_sign_and_control_tokens_stay_text(tokenizer, numbers):
    with_more = tokenizer.with_control_tokens(["<|user|>", "<|end|>"])
    lines = sweep(numbers)
    texts = ["".join(lines[n : n + 50]) for n in range(0, len(lines), 50)] + ["", "<|user|> is text", "\u180e \u180e"]
    for one in (tokenizer, with_more):
        slow = Slow(one.inner)
        encoder = encoder_of(one, slow)
        encoder._to_compare = 0
        assert plain(encoder.encode_batch(texts)) == plain(Slow(one.inner)(texts))
        assert slow.asked == [text for text in texts if "\u180e" in text]
        assert plain(one.encode_batch(texts)) == plain(one._by_library(texts))
        assert all(ids.dtype == np.uint16 for ids in one.encode_batch(texts))


def test_the_first_text_is_encoded_by_both_and_the_rest_by_one(tokenizer):
    slow = Slow(tokenizer.inner)
    encoder = encoder_of(tokenizer, slow)
    pieces = [f"{n} {TEXT}" for n in range(SAMPLE_CHARACTERS // len(TEXT) + 3)]
    right = Slow(tokenizer.inner)(pieces)
    assert plain(encoder.encode_batch(pieces[:2])) == plain(right[:2])
    assert plain(encoder.encode_batch(pieces[2:])) == plain(right[2:])
    enough = next(n for n in range(len(pieces)) if sum(map(len, pieces[:n])) >= SAMPLE_CHARACTERS)
    assert slow.asked == pieces[:enough] and enough < len(pieces)


def test_where_they_differ_the_library_encodes_and_it_is_said_once(tokenizer, caplog):
    slow = Slow(tokenizer.inner, shift=1)
    encoder = encoder_of(tokenizer, slow)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert plain(encoder.encode_batch([TEXT, "ab"])) == plain(Slow(tokenizer.inner, 1)([TEXT, "ab"]))
    assert encoder.differs
    assert [record.getMessage()[:37] for record in caplog.records] == ["fastokens gives other ids than tokeni"]


def test_short_batches_and_half_characters_go_to_the_library(tokenizer):
    slow = Slow(tokenizer.inner)
    assert plain(encoder_of(tokenizer, slow).encode_batch(["ab"])) == plain(Slow(tokenizer.inner)(["ab"]))
    assert slow.asked == ["ab"]
    with pytest.raises(DataError):
        tokenizer.encode_batch([TEXT, "a\ud800"])


def test_what_it_is_not_known_to_express_stays_with_the_library(tokenizer):
    def with_(**changes) -> str:
        return json.dumps(json.loads(tokenizer.inner.to_str()) | changes)

    known = json.loads(tokenizer.inner.to_str())
    split, to_bytes = known["pre_tokenizer"]["pretokenizers"]
    odd = split | {"pattern": {"Regex": r"\p{Han}+|\s+"}}
    plain_token = known["added_tokens"][0] | {"special": False}
    gpt2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    assert fast_encoder(with_(pre_tokenizer=gpt2), np.uint16, Slow(tokenizer.inner)) is not None
    for description in (
        with_(normalizer={"type": "NFC"}),
        with_(pre_tokenizer=None),
        with_(pre_tokenizer=gpt2 | {"add_prefix_space": True}),
        with_(pre_tokenizer=known["pre_tokenizer"] | {"pretokenizers": [odd, to_bytes]}),
        with_(pre_tokenizer=known["pre_tokenizer"] | {"pretokenizers": [split | {"invert": True}, to_bytes]}),
        with_(added_tokens=[plain_token]),
        with_(model=known["model"] | {"dropout": 0.1}),
        with_(model=known["model"] | {"byte_fallback": True}),
        with_(model=known["model"] | {"unk_token": "a"}),
        ByteTokenizerConfig().build().inner.to_str(),
    ):
        assert fast_encoder(description, np.uint16, Slow(tokenizer.inner)) is None


@pytest.mark.processes
def test_a_copy_of_a_process_that_has_encoded_encodes(tokenizer):
    long, several = ["hello " * 100_000], [f"{n} {LINE * 20}" for n in range(60)]
    right = [plain(tokenizer.encode_batch(texts)) for texts in (long, several)]
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(100)  # it would wait for threads that it does not have
        os._exit(0 if [plain(tokenizer.encode_batch(texts)) for texts in (long, several)] == right else 1)
    assert os.waitpid(child, 0)[1] == 0
