"""A second encoder of byte-level BPE, ten times as fast as `tokenizers` on code and prose: the package `fastokens`.

It reads the same tokenizer.json and gives the same ids from the same merges. It is believed only where both have been
compared: for the expressions listed here (every code point in eighteen places, and 175,000 random texts), and on the
first text of every corpus (`FastEncoder.encode_batch`). Everything else stays with `tokenizers`.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prospero.log import log

if TYPE_CHECKING:
    import fastokens

LEAST_CHARACTERS = 2**15
"""Batches below this are not worth a second encoder: a prompt, a line of dialogue."""
SAMPLE_CHARACTERS = 2**18
"""How much text of a corpus is encoded by both before the fast one is believed."""
ELSEWHERE = "\u180e"
"""The one character that the two libraries cut differently (white space in Unicode until 6.3); its texts go to
`tokenizers`."""

LETTERS, REST = r"[^\r\n\p{L}\p{N}]?\p{L}+", r" ?[^\s\p{L}\p{N}]+[\r\n]*"
PATTERNS = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}{1,DIGITS}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    rf"'(?i:[sdmt]|ll|ve|re)|{LETTERS}|\p{{N}}{{1,DIGITS}}|{REST}|\s*[\r\n]|\s+(?!\S)|\s+",
    rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|{LETTERS}|\p{{N}}{{1,DIGITS}}|{REST}|\s*[\r\n]+|\s+(?!\S)|\s+",
)
"""How text is cut by tokenizers made here (GPT-2's and GPT-4's rule) and by Llama 3's; any number of digits."""
CUTS = re.compile("|".join(re.escape(pattern).replace("DIGITS", r"\d+") for pattern in PATTERNS))

Encode = Callable[[Sequence[str]], list[np.ndarray]]
"""Texts -> ids of each, as `tokenizers` gives them."""


def fast_encoder(description: str, dtype: type[np.unsignedinteger], slow: Encode) -> "FastEncoder | None":
    """Return the fast encoder of a tokenizer.json; None for one that it is not known to express.

    It is known to for BPE over bytes that is cut by an expression in `CUTS` or GPT-2's own pre-tokeniser, without
    normaliser, dropout, unknown token, fallback to bytes, and without added tokens that count in ordinary text.
    """
    plain = json.loads(description)
    model = plain["model"]
    odd = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    simple = model.get("type") == "BPE" and not any(model.get(name) for name in odd) and plain["normalizer"] is None
    if not simple or not model["merges"] or not all(token["special"] for token in plain["added_tokens"]):
        return None
    return FastEncoder(description, dtype, slow) if _is_known(plain["pre_tokenizer"]) else None


def _is_known(pre_tokenizer: dict[str, Any] | None) -> bool:
    """Whether text is cut in a way in which the two libraries have been compared."""
    if pre_tokenizer is None or pre_tokenizer["type"] == "ByteLevel":
        return pre_tokenizer is not None and pre_tokenizer["use_regex"] and not pre_tokenizer["add_prefix_space"]
    parts = pre_tokenizer.get("pretokenizers", [])
    if [part["type"] for part in parts] != ["Split", "ByteLevel"]:
        return False
    split, to_bytes = parts
    isolated = split["behavior"] == "Isolated" and not split["invert"]
    known = CUTS.fullmatch(split["pattern"].get("Regex", "")) is not None
    return isolated and known and not to_bytes["use_regex"] and not to_bytes["add_prefix_space"]


class FastEncoder:
    """The ids of one tokenizer, by `fastokens`; `slow` is the same by `tokenizers`, the judge of the first text."""

    def __init__(self, description: str, dtype: type[np.unsignedinteger], slow: Encode) -> None:
        self._description, self._dtype, self._slow = description, dtype, slow
        self._inner: fastokens.Tokenizer | None = None
        self._to_compare = SAMPLE_CHARACTERS
        self._process = os.getpid()
        self.differs = False
        """Whether it was found to give other ids; nothing is encoded by it then."""

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each text, those of `tokenizers`; the work is spread over the cores outside the GIL.

        A process that was forked from one that has encoded lacks the threads that the library waits for.
        """
        if self.differs or os.getpid() != self._process or sum(map(len, texts)) < LEAST_CHARACTERS:
            return self._slow(texts)
        try:
            found = self._by_fastokens(texts)
        except UnicodeEncodeError:  # half a character: the judge says what is wrong with it
            return self._slow(texts)
        for place, text in enumerate(texts):
            if ELSEWHERE in text:
                found[place] = self._slow([text])[0]
            elif self._to_compare > 0 and text:
                self._to_compare -= len(text)
                right = self._slow([text])[0]
                if not np.array_equal(found[place], right):
                    self.differs = True
                    log.warning("fastokens gives other ids than tokenizers for %.60r; tokenizers encodes.", text)
                    return self._slow(texts)
        return found

    def _by_fastokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        import fastokens

        if self._inner is None:
            self._inner = fastokens.Tokenizer.from_json_str(self._description)
        flat, ends = self._inner.encode_batch_flat(list(texts), split_special_tokens=True)
        ids = np.frombuffer(flat, np.uint32).astype(self._dtype)
        return np.split(ids, np.frombuffer(ends, np.uint64)[1:-1].astype(np.int64))
