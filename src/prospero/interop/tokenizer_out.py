"""The tokenizer files of an export, such that AutoTokenizer gives the same ids for every text.

The class is PreTrainedTokenizerFast, which takes tokenizer.json as it is; classes named after a family rebuild the
pre-tokenizer. `split_special_tokens` keeps the names of special tokens inside a text ordinary text, as here; with a
template for dialogues it has to be off, for Transformers encodes the text that the template has made.
"""

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import processors

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.interop.tokenizer_in import template_start
from prospero.paths import write_text


def write_tokenizer(tokenizer: Tokenizer, folder: Path, *, model_max_length: int) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json into `folder`."""
    inner = tokenizers.Tokenizer.from_str(tokenizer.inner.to_str())
    if tokenizer.bos_token is not None and template_start(inner) is None:
        _put_before_texts(inner, tokenizer.bos_token)
    special = {"bos_token": tokenizer.bos_token or tokenizer.eot_token, "eos_token": tokenizer.eot_token}
    special |= {"pad_token": tokenizer.eot_token}
    if tokenizer.unknown_id is not None:
        special["unk_token"] = str(inner.id_to_token(tokenizer.unknown_id))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "model_max_length": model_max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "split_special_tokens": tokenizer.chat_template is None,
        "clean_up_tokenization_spaces": False,
    }
    if tokenizer.bos_token is not None:
        settings["add_bos_token"] = True
    if tokenizer.chat_template is not None:
        settings["chat_template"] = tokenizer.chat_template
    write_text(folder / "tokenizer.json", inner.to_str(pretty=False))
    write_text(folder / "tokenizer_config.json", json.dumps(settings, indent=2) + "\n")
    write_text(folder / "special_tokens_map.json", json.dumps(special, indent=2) + "\n")


def _put_before_texts(inner: tokenizers.Tokenizer, token: str) -> None:
    id_ = inner.token_to_id(token)
    template = processors.TemplateProcessing(
        single=[token, "$A"], pair=[token, "$A", f"{token}:1", "$B:1"], special_tokens=[(token, id_)]
    )
    before = inner.post_processor
    inner.post_processor = template if before is None else processors.Sequence([before, template])
