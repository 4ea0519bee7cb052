"""The tokenizer every part of the platform sees: a `tokenizers.Tokenizer` inside, ordinary text outside.

What a run ships is therefore a `tokenizer.json` that opens in any other program. Two things are added here: text is
always encoded as ordinary text (a literal `<|endoftext|>` in a file never becomes the separator), and large batches are
encoded faster than by the library: by a table look-up where one byte or one character is one id, a hundred times; by a
second library (fast.py) where tokens are merged from bytes, ten times.
"""

import codecs
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers.decoders import DecodeStream

from prospero.data.tokenizer.fast import FastEncoder, fast_encoder
from prospero.errors import ConfigError, DataError, suggest
from prospero.log import log
from prospero.paths import write_text
from prospero.printable import printable

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # said aloud, or the library warns at every fork
# A copy of a process lacks the threads that the library started in it, and would wait for them for ever.
os.register_at_fork(after_in_child=functools.partial(os.environ.__setitem__, "TOKENIZERS_PARALLELISM", "false"))

EOT = "<|endoftext|>"
"""The document separator of the tokenizers made here."""

UNKNOWN = "<unk>"
"""What a character outside the vocabulary becomes."""

KNOWN_SEPARATORS = (EOT, "<|end_of_text|>", "</s>", "<eos>", "<|eot_id|>", "<|im_end|>", "[EOS]", "[SEP]")
"""Names under which published tokenizers keep their document separator, most usual first."""

BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
"""How SentencePiece spells a token that stands for one raw byte."""

SAFE_CUT = re.compile(r"(?<=\S\n)(?=[^\W\d_])")
"""A line end between visible text and a letter: every pre-tokenisation in use puts a token bound there."""


class Tokenizer:
    """Text to ids and back; `eot_id` separates documents.

    `eot` names the separator; when it is None the usual names are tried, and a tokenizer that has none of them gets
    `<|endoftext|>` as one more id. `bos` names a token that stands before every text the model reads, if there is one
    (Llama's and Gemma's models were trained so); `encode` leaves it out.
    """

    def __init__(
        self,
        inner: tokenizers.Tokenizer,
        eot: str | None = None,
        bos: str | None = None,
        chat_template: str | None = None,
    ) -> None:
        self.inner = inner
        self.chat_template = chat_template
        """How a dialogue becomes text: a template in Jinja, as Hugging Face's tokenizers carry one."""
        inner.encode_special_tokens = True
        inner.no_truncation()
        inner.no_padding()
        self.eot_token = eot or next((name for name in KNOWN_SEPARATORS if inner.token_to_id(name) is not None), EOT)
        inner.add_special_tokens([self.eot_token])
        self._vocabulary: dict[str, int] = inner.get_vocab(with_added_tokens=True)
        self.eot_id = self._vocabulary[self.eot_token]
        self.bos_token = bos
        self.bos_id: int | None = None if bos is None else self._vocabulary[bos]
        self.vocab_size: int = max(self._vocabulary.values()) + 1
        self._settings: dict[str, Any] = _settings(inner)
        self._special = {id_ for id_, token in inner.get_added_tokens_decoder().items() if token.special}
        self._plain = {id_ for id_, token in inner.get_added_tokens_decoder().items() if not token.special}
        self._byte_ids, self._character_ids = self._tables()
        self._known = self._known_signs()

    def with_control_tokens(self, names: Sequence[str], chat_template: str | None = None) -> "Tokenizer":
        """Return a tokenizer that has `names` as control tokens, new ones at its end, and the template if given.

        Raises ConfigError when one of them is an ordinary token: a text that spells it would become it.
        """
        vocabulary, special = self._vocabulary, self._special
        for name in names:
            if name in vocabulary and vocabulary[name] not in special:
                raise ConfigError(f"{printable(name)!r} is an ordinary token of the tokenizer; name another")
        inner = tokenizers.Tokenizer.from_str(self.inner.to_str())
        inner.add_special_tokens([name for name in names if name not in vocabulary])
        return Tokenizer(inner, self.eot_token, self.bos_token, chat_template or self.chat_template)

    def control_id(self, name: str) -> int:
        """Return the id of a control token; DataError when there is none of that name."""
        id_ = self._vocabulary.get(name)
        if id_ is None or id_ not in self._special:
            raise DataError(f"the tokenizer has no control token {printable(name)!r}")
        return id_

    @property
    def control_names(self) -> list[str]:
        """The names of all control tokens, by their ids."""
        names = {id_: token for token, id_ in self._vocabulary.items() if id_ in self._special}
        return [names[id_] for id_ in sorted(names)]

    @property
    def unknown_id(self) -> int | None:
        """The id that unknown characters become, or None when every text can be written."""
        name = self._settings["unk_token"]
        return self.inner.token_to_id(name) if name else self._settings["unk_id"]

    @property
    def is_byte_level(self) -> bool:
        """Whether ids stand for runs of bytes, so that any text comes back unchanged."""
        return "ByteLevel" in self._settings["decoders"]

    @property
    def is_context_free(self) -> bool:
        """Whether an id stands for the same bytes wherever it is (others drop or add a space at the beginning)."""
        return self.is_byte_level or self._settings["decoders"] == ["Fuse"]

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, all of it ordinary text, without a separator."""
        return self.encode_batch([text])[0].tolist()

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each text as an unsigned array; the work is spread over the cores outside the GIL.

        Raises `DataError` where the tokenizer has neither a token for a character nor one for the unknown.
        """
        if self._byte_ids is not None:
            return [self._byte_ids[np.frombuffer(text.encode(), np.uint8)] for text in texts]
        if self._character_ids is not None:
            return [self._character_ids[np.frombuffer(text.encode("utf-32-le"), np.uint32)] for text in texts]
        return self._by_library(texts) if self._fast is None else self._fast.encode_batch(texts)

    @cached_property
    def _fast(self) -> FastEncoder | None:
        """The second encoder, where there is one for this tokenizer."""
        return None if self._known is not None else fast_encoder(self.inner.to_str(), self.dtype, self._by_library)

    def _by_library(self, texts: Sequence[str]) -> list[np.ndarray]:
        for text in texts if self._known is not None else ():
            self._refuse_unknown(text)
        try:
            encodings = self.inner.encode_batch_fast(list(texts), add_special_tokens=False)
        except Exception as error:  # the library raises bare Exception
            raise _unwritable("\n".join(texts), self.inner, str(error)) from error
        return [np.array(encoding.ids, dtype=self.dtype) for encoding in encodings]

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The smallest of uint16 and uint32 that holds every id."""
        return np.uint16 if self.vocab_size <= 2**16 else np.uint32

    def pieces(self, text: str, max_chars: int = 2**16) -> Iterator[str]:
        """Cut a long text into pieces whose ids, joined, are those of the whole.

        The library needs some hundred bytes of memory per token of one text, and one text runs on one core. Cuts fall
        at a line end before a letter; a text that has none within reach (one line of many megabytes) is cut anywhere,
        which changes at most the two tokens at the cut and never the text they stand for.
        """
        if not self.is_byte_level:
            max_chars = max(max_chars, 2**20)  # such tokenizers may put a space before the first word of a piece
        start = 0
        while len(text) - start > max_chars:
            cut = SAFE_CUT.search(text, start + max_chars // 2, start + max_chars)
            stop = cut.start() if cut else start + max_chars
            yield text[start:stop]
            start = stop
        yield text[start:] if start else text

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; separators and other special ids are left out, broken UTF-8 becomes U+FFFD."""
        return self.inner.decode([int(id_) for id_ in ids], skip_special_tokens=True)

    @cached_property
    def byte_table(self) -> list[bytes]:
        """`bytes_of`, made once."""
        return self.bytes_of()

    def bytes_of(self) -> list[bytes]:
        """Return the UTF-8 bytes each id stands for: empty for special ids and for ids that no token has."""
        table = [b""] * self.vocab_size
        byte_of = byte_alphabet()
        for token, id_ in self._vocabulary.items():
            if id_ in self._special or id_ == self.unknown_id:
                continue
            if self.is_byte_level and id_ not in self._plain:
                table[id_] = bytes(byte_of[character] for character in token if character in byte_of)
            else:
                table[id_] = _bytes_of_piece(token, self._settings["decoders"])
        return table

    def token_bytes(self) -> np.ndarray:
        """Return int32 [vocab_size]: how many UTF-8 bytes each id stands for, 0 for special ids."""
        return np.array([len(piece) for piece in self.bytes_of()], dtype=np.int32)

    def save(self, path: Path) -> None:
        """Write `tokenizer.json` at `path` and `tokenizer_config.json`, which names the separator, beside it."""
        write_text(Path(path), self.inner.to_str(pretty=False))
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": self.eot_token}
        unknown = self._settings["unk_token"]
        settings |= {"unk_token": unknown} if unknown else {}
        settings |= {"bos_token": self.bos_token, "add_bos_token": True} if self.bos_token else {}
        settings |= {"chat_template": self.chat_template} if self.chat_template else {}
        write_text(Path(path).with_name("tokenizer_config.json"), json.dumps(settings, indent=2) + "\n")

    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits that change whenever any id would."""
        content = f"{self.inner.to_str(pretty=False)}\n{self.eot_token}"
        content += f"\n{self.bos_token}" if self.bos_token else ""
        content += f"\n{self.chat_template}" if self.chat_template else ""
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        names = {"eot": self.eot_token, "bos": self.bos_token, "chat_template": self.chat_template}
        return {"inner": self.inner.to_str(), **names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        names = {"eot": state["eot"], "bos": state["bos"], "chat_template": state["chat_template"]}
        self.__init__(tokenizers.Tokenizer.from_str(state["inner"]), **names)

    def _known_signs(self) -> frozenset[str] | None:
        """The characters that words are made of, where the library leaves out all others without a word; else None.

        That is BPE that has no token for the unknown, and not one for every byte.
        """
        settings = self._settings
        bytes_known = settings["byte_fallback"] and self._vocabulary.keys() >= {f"<0x{b:02X}>" for b in range(256)}
        if not settings["drops"] or self.unknown_id is not None or bytes_known:
            return None
        if self._works_on_bytes and self._vocabulary.keys() >= byte_alphabet().keys():
            return None
        pieces = (token.removeprefix(settings["prefix"]).removesuffix(settings["suffix"]) for token in self._vocabulary)
        return frozenset(piece for piece in pieces if len(piece) == 1)

    @property
    def _works_on_bytes(self) -> bool:
        return self.is_byte_level or self._settings["pre_tokenizer"] == "ByteLevel"

    def _refuse_unknown(self, text: str) -> None:
        """Raise DataError where `text` holds a character that would be left out; white space between words may be."""
        assert self._known is not None
        plain = [token.content for token in self.inner.get_added_tokens_decoder().values() if not token.special]
        for token in plain:
            text = text.replace(token, "")
        if self.inner.normalizer is not None:
            text = self.inner.normalizer.normalize_str(text)
        if self._works_on_bytes:
            sign_of = {byte: sign for sign, byte in byte_alphabet().items()}
            lost = (sign for sign in set(text) if not {sign_of[byte] for byte in sign.encode()} <= self._known)
        else:
            lost = iter(set(text) - self._known)
        lost = {sign for sign in lost if not sign.isspace()}
        if lost:
            raise _unwritable(next(sign for sign in text if sign in lost), self.inner, "it would be left out")

    def _tables(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return (id of each byte, id of each code point) for a tokenizer that merges nothing, else None."""
        settings = self._settings
        if not settings["merges_nothing"]:
            return None, None
        if settings["pre_tokenizer"] == "ByteLevel" and self.is_byte_level:
            ids = {byte: self._vocabulary.get(character) for character, byte in byte_alphabet().items()}
            if any(id_ is None for id_ in ids.values()):
                return None, None
            return np.array([ids[byte] for byte in range(256)], dtype=self.dtype), None
        if settings["pre_tokenizer"] is None and self.unknown_id is not None:
            table = np.full(0x110000, self.unknown_id, dtype=self.dtype)
            for token, id_ in self._vocabulary.items():
                if len(token) == 1:
                    table[ord(token)] = id_
            return None, table
        return None, None


class StreamDecoder:
    """Turn ids into text one by one, giving out complete characters only."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._bytes = tokenizer.byte_table if tokenizer.is_context_free else None
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stream = DecodeStream(skip_special_tokens=True)

    def push(self, id_: int) -> str:
        """Return the text that `id_` completes; empty while a character is still partial."""
        if self._bytes is not None:
            return self._utf8.decode(self._bytes[id_]) if id_ < len(self._bytes) else ""
        return self._stream.step(self._tokenizer.inner, id_) or ""

    def finish(self) -> str:
        """Return what a half-received character leaves (U+FFFD), and be ready for the next text."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        self._stream = DecodeStream(skip_special_tokens=True)
        return rest


def load_tokenizer(path: Path | str, eot: str | None = None) -> Tokenizer:
    """Open a `tokenizer.json`, or the folder that holds one; a separator named beside it is used.

    Raises `ConfigError` when `eot`, the separator asked for, is no token of it, `DataError` for what is no tokenizer.
    """
    path = Path(path)
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"no tokenizer at {file}; give a tokenizer.json or the folder that holds one")
    try:
        inner = tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises bare Exception
        raise DataError(f"{file} is not a tokenizer.json: {str(error).splitlines()[0]}") from error
    if eot is not None and inner.token_to_id(eot) is None:
        raise ConfigError(_no_such_token(file, eot, inner))
    named = _named_beside(file)
    beside = None if eot else named.get("eos_token")
    if beside is not None and inner.token_to_id(beside) is None:
        log.warning(
            "%s names the separator %r, which the tokenizer lacks; it is added as a new id.", file.parent, beside
        )
    bos = named.get("bos_token")
    if bos is not None and inner.token_to_id(bos) is None:
        raise DataError(
            f"{file.parent} puts {bos!r} before every text (add_bos_token), which is no token of {file.name}"
        )
    return Tokenizer(inner, eot or beside, bos, named.get("chat_template"))


def _no_such_token(file: Path, eot: str, inner: tokenizers.Tokenizer) -> str:
    added = [token.content for token in inner.get_added_tokens_decoder().values()]
    usual = [name for name in KNOWN_SEPARATORS if inner.token_to_id(name) is not None and name not in added]
    known = printable(", ".join([*added, *usual][:12]) or "none that is special")
    near = suggest(eot, [*added, *usual]) or suggest(eot, inner.get_vocab())
    return f"tokenizer.eot_token={printable(eot)!r} is no token of {file}.{near} It has: {known}."


def _unwritable(text: str, inner: tokenizers.Tokenizer, why: str) -> DataError:
    """Name what of `text` a tokenizer without an unknown token cannot write: a character, or a word."""

    def writable(sign: str) -> bool:
        try:
            return bool(inner.encode(sign, add_special_tokens=False).ids) or sign.isspace()
        except Exception:  # the library raises bare Exception
            return False

    word = next((word for word in dict.fromkeys(text.split()) if not writable(word)), text[:20])
    signs = [sign for sign in dict.fromkeys(word) if not writable(sign)]
    missing = signs[0] if signs and len(signs) < len(set(word)) else word  # where words are tokens, it is the word
    code = f" (U+{ord(missing):04X})" if len(missing) == 1 else ""
    return DataError(
        f"the tokenizer has no token for {printable(missing)!r}{code}, nor one for what it does not know "
        f"({why.splitlines()[0]}); take such text out, or choose a tokenizer that writes everything (tokenizer=bpe, or "
        "one with byte fallback)"
    )


@functools.cache
def byte_alphabet() -> dict[str, int]:
    """Return the visible character that stands for each byte in byte-level vocabularies (GPT-2's table)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in set(visible)]
    return {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


def _named_beside(file: Path) -> dict[str, str]:
    """Return what tokenizer_config.json beside it names: eos_token, bos_token where it is used, chat_template."""
    beside = file.with_name("tokenizer_config.json")
    if not beside.is_file():
        return {}
    try:
        settings = json.loads(beside.read_text(encoding="utf-8"))
        names = {name: settings.get(name) for name in ("eos_token", "bos_token")}
        add_bos = settings.get("add_bos_token") is True
    except (ValueError, AttributeError) as error:
        raise DataError(f"{beside} is not a JSON object: {error}") from error
    if not add_bos:
        names["bos_token"] = None
    found = {}
    for name, meaning in (("eos_token", "separator"), ("bos_token", "beginning")):
        value = names[name]
        value = value.get("content") if isinstance(value, dict) else value
        if value is not None and not isinstance(value, str):
            raise DataError(f"{beside} names a {meaning} ({name}) that is no text")
        if value is not None:
            found[name] = value
    template = stored_template(file.parent, settings)
    return found | ({"chat_template": template} if template else {})


def stored_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """Return the template for dialogues of a folder whose tokenizer_config.json holds `settings`; None without one.

    Newer folders of Hugging Face's keep it in a file of its own, some hold several by name, of which `default` counts.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8") or None
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
    return found if isinstance(found, str) and found else None


def _settings(inner: tokenizers.Tokenizer) -> dict[str, Any]:
    """Read from the tokenizer's own description what decides how ids and bytes correspond."""
    plain = json.loads(inner.to_str(pretty=False))
    model, pre_tokenizer = plain["model"], plain["pre_tokenizer"]
    return {
        "decoders": _decoders(plain["decoder"]),
        "pre_tokenizer": pre_tokenizer["type"] if pre_tokenizer else None,
        "unk_token": model.get("unk_token") if isinstance(model.get("unk_token"), str) else None,
        "unk_id": model.get("unk_id"),  # Unigram names it by its number
        "drops": model.get("type") == "BPE",
        "prefix": model.get("continuing_subword_prefix") or "",
        "suffix": model.get("end_of_word_suffix") or "",
        "byte_fallback": bool(model.get("byte_fallback")),
        "merges_nothing": model.get("type") == "BPE"
        and not model.get("merges")
        and plain["normalizer"] is None
        and not (pre_tokenizer or {}).get("use_regex", False)
        and not (pre_tokenizer or {}).get("add_prefix_space", False),
    }


def _decoders(decoder: dict[str, Any] | None) -> list[str]:
    """Return the types of a decoder and of its parts."""
    if decoder is None:
        return []
    return [decoder["type"], *(name for part in decoder.get("decoders", []) for name in _decoders(part))]


def _bytes_of_piece(token: str, decoders: list[str]) -> bytes:
    """Return the UTF-8 bytes of a token of a tokenizer that is not byte-level."""
    raw = BYTE_FALLBACK.fullmatch(token)
    if raw and "ByteFallback" in decoders:
        return bytes([int(raw[1], 16)])
    if "WordPiece" in decoders:  # a word's first piece stands for the space before it as well
        return token[2:].encode() if token.startswith("##") else b" " + token.encode()
    if "Metaspace" in decoders or "Replace" in decoders:
        token = token.replace("▁", " ")
    return token.encode("utf-8", errors="replace")
