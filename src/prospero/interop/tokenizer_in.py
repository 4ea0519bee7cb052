"""The tokenizer of a Hugging Face folder: tokenizer.json, or GPT-2's older pair vocab.json and merges.txt."""

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from prospero.checkpoints import model_folder
from prospero.data.tokenizer.tokenizer import KNOWN_SEPARATORS, Tokenizer, stored_template
from prospero.errors import DataError
from prospero.log import log


def read_tokenizer(folder: Path, config: dict[str, Any]) -> Tokenizer:
    """Return the tokenizer of `folder`, whose config.json is `config`; DataError when there is none that is read.

    Its separator is the eos_token beside it, else the one config.json numbers; its bos_id is what its own template puts
    before every text, or what add_bos_token asks for.
    """
    inner, said = _inner(folder), read_json(folder / "tokenizer_config.json")
    separator = _named(said.get("eos_token")) or _numbered(config.get("eos_token_id"), inner)
    if separator is None and not any(inner.token_to_id(name) is not None for name in KNOWN_SEPARATORS):
        raise DataError(
            f"{folder} does not say which token ends a text (eos_token in tokenizer_config.json, eos_token_id in "
            "config.json); write it there"
        )
    if separator is not None and inner.token_to_id(separator) is None:
        raise DataError(f"{folder / 'tokenizer_config.json'} names eos_token={separator!r}, which the tokenizer lacks")
    begins = template_start(inner)
    if begins is None and said.get("add_bos_token"):
        begins = _named(said.get("bos_token")) or _numbered(config.get("bos_token_id"), inner)
    template = stored_template(folder, said)
    named = _named(said.get("bos_token"))
    if template and "bos_token" in template and named not in (None, begins):
        template = f"{{%- set bos_token = {json.dumps(named)} -%}}{template}"  # it would stay unknown to the template
    return Tokenizer(inner, separator, begins, template)


def template_start(inner: tokenizers.Tokenizer) -> str | None:
    """Return the token that the tokenizer's own template puts before a text, if it does."""
    plain, whole = inner.encode("a", add_special_tokens=False).ids, inner.encode("a").ids
    if len(whole) > len(plain) and whole[0] != (plain or [None])[0]:
        return inner.id_to_token(whole[0])
    return None


def _inner(folder: Path) -> tokenizers.Tokenizer:
    file, vocabulary, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    if file.is_file():
        try:
            return tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare Exception
            raise DataError(f"{file} is not a tokenizer.json: {str(error).splitlines()[0]}") from error
    if vocabulary.is_file() and merges.is_file():
        return _gpt2(folder, vocabulary, merges)
    if (folder / "tokenizer.model").is_file():
        raise DataError(
            f"{folder} has a tokenizer.model of SentencePiece and no tokenizer.json; make one with Transformers: "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    raise DataError(
        f"{folder} holds weights and no tokenizer: tokenizer.json is missing; without it no text can be read"
    )


def _gpt2(folder: Path, vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    """Return the tokenizer of GPT-2's pair of files, as GPT2TokenizerFast makes it."""
    try:
        inner = tokenizers.Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    except Exception as error:  # the library raises bare Exception
        raise DataError(f"{vocabulary} and {merges.name} are no BPE: {str(error).splitlines()[0]}") from error
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    said = read_json(folder / "tokenizer_config.json")
    if said.get("add_prefix_space"):
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    beside = {**read_json(folder / "special_tokens_map.json"), **said}
    names = [_named(beside.get(f"{kind}_token")) for kind in ("bos", "eos", "unk", "pad")]
    special = [name for name in dict.fromkeys(names) if name and inner.token_to_id(name) is not None]
    inner.add_special_tokens([AddedToken(name, special=True) for name in special or ["<|endoftext|>"]])
    log.info("%s has no tokenizer.json; it was made of %s and %s", folder, vocabulary.name, merges.name)
    return inner


def _named(token: Any) -> str | None:
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else None


def _numbered(number: Any, inner: tokenizers.Tokenizer) -> str | None:
    number = number[0] if isinstance(number, list) and number else number
    return inner.id_to_token(number) if type(number) is int and number >= 0 else None


def read_json(path: Path) -> dict[str, Any]:
    """Return the table in a JSON file, an empty one where there is no file; DataError when it is damaged."""
    return model_folder.read_json(path, "; fetch it again") if path.is_file() else {}
