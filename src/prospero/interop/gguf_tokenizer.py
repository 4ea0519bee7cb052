"""A tokenizer in GGUF's words: tokens, merges, and the name of a cut of the text that its readers know by heart.

GGUF has no field for the pattern by which text is cut before merging; `tokenizer.ggml.pre` names one of those built
into llama.cpp. A tokenizer is therefore written only where such a name stands for exactly its pattern.
"""

import json
from dataclasses import dataclass
from typing import Any

from prospero.data.tokenizer.bpe import Pattern
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError

PRE_OF_DIGITS = {1: "qwen2", 3: "dbrx"}
"""Longest run of digits in one token -> llama.cpp's name of the gpt4 pattern with it."""
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Kinds of tokens (llama_token_type of llama.cpp)."""


@dataclass(frozen=True, slots=True)
class GGUFTokenizer:
    """The fields `tokenizer.ggml.*`."""

    pre: str
    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    eos_id: int
    bos_id: int | None
    """What stands before every text; None where nothing does."""


def gguf_tokenizer(tokenizer: Tokenizer, vocab_size: int) -> GGUFTokenizer:
    """Return `tokenizer` in GGUF's words; ids up to `vocab_size` that no token has are filled with unused ones.

    Raises ConfigError, which names the reason, for a tokenizer that GGUF cannot say.
    """
    plain: dict[str, Any] = json.loads(tokenizer.inner.to_str(pretty=False))
    model = plain["model"]
    pre = _pre(plain)
    kinds = {token["id"]: CONTROL if token["special"] else USER_DEFINED for token in plain["added_tokens"]}
    names = dict.fromkeys(range(vocab_size), "")
    names |= {id_: token for token, id_ in tokenizer.inner.get_vocab(with_added_tokens=True).items()}
    if len(names) > vocab_size:
        raise _cannot(f"it has {len(names)} ids and the model {vocab_size}")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return GGUFTokenizer(
        pre=pre,
        tokens=[names[id_] or f"[PAD{id_}]" for id_ in range(vocab_size)],
        kinds=[kinds.get(id_, NORMAL if names[id_] else UNUSED) for id_ in range(vocab_size)],
        merges=merges,
        eos_id=tokenizer.eot_id,
        bos_id=tokenizer.bos_id,
    )


def _pre(plain: dict[str, Any]) -> str:
    """Return llama.cpp's name of the way a tokenizer.json cuts text."""
    model, decoder = plain["model"], plain["decoder"] or {}
    if model["type"] != "BPE" or decoder.get("type") != "ByteLevel":
        raise _cannot("it is no byte-level BPE")
    if not model["merges"]:
        raise _cannot("it merges nothing (tokenizer=byte)")
    if plain["normalizer"] is not None:
        raise _cannot(f"it changes the text before it reads it ({plain['normalizer']['type']})")
    if model.get("ignore_merges"):
        raise _cannot("it takes whole words before it merges (ignore_merges)")
    if (plain["post_processor"] or {}).get("type", "ByteLevel") != "ByteLevel":
        raise _cannot(f"it adds tokens to every text ({plain['post_processor']['type']})")
    cut = plain["pre_tokenizer"] or {}
    if cut.get("type") == "ByteLevel" and cut.get("use_regex") and not cut.get("add_prefix_space"):
        return "gpt-2"
    parts = cut.get("pretokenizers", [])
    if [part["type"] for part in parts] == ["Split", "ByteLevel"]:
        split, to_bytes = parts
        plain_bytes = not to_bytes.get("use_regex") and not to_bytes.get("add_prefix_space")
        whole = split["behavior"] == "Isolated" and not split["invert"]
        for digits, name in PRE_OF_DIGITS.items():
            pattern = Pattern.gpt4.value.replace("{DIGITS}", f"{{1,{digits}}}")
            if plain_bytes and whole and split["pattern"] == {"Regex": pattern}:
                return name
    known = ", ".join(str(digits) for digits in PRE_OF_DIGITS)
    raise _cannot(
        f"its cut of the text has no name there; tokenizer=bpe with pattern=gpt4 and max_digits {known} has one"
    )


def _cannot(why: str) -> ConfigError:
    return ConfigError(f"to=gguf cannot write this tokenizer: {why}; to=huggingface can")
