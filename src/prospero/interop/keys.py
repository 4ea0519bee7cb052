"""config.json of a Hugging Face folder, read key by key, so that none that changes the mathematics goes unread."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from prospero.errors import DataError
from prospero.log import log
from prospero.printable import printable

REQUIRED = object()
"""As a default: the key must be there."""

_HARMLESS = """
architectures model_type transformers_version torch_dtype dtype use_cache bos_token_id eos_token_id pad_token_id
sep_token_id unk_token_id decoder_start_token_id initializer_range init_std initializer_factor _name_or_path
name_or_path return_dict return_dict_in_generate output_attentions output_hidden_states output_scores id2label label2id
problem_type task_specific_params finetuning_task tokenizer_class prefix pruned_heads torchscript
chunk_size_feed_forward cache_implementation attn_implementation _attn_implementation
_attn_implementation_autoset use_flash_attn gradient_checkpointing use_bfloat16 tf_legacy_loss attention_dropout
hidden_dropout resid_pdrop embd_pdrop attn_pdrop summary_first_dropout classifier_dropout residual_dropout
embedding_dropout resid_dropout embed_dropout dropout attention_probs_dropout_prob activation_dropout
hidden_dropout_prob layerdrop summary_type summary_use_proj summary_activation summary_proj_to_labels
max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p
typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
num_return_sequences forced_bos_token_id forced_eos_token_id remove_invalid_values suppress_tokens
begin_suppress_tokens exponential_decay_length_penalty pretraining_tp reorder_and_upcast_attn n_ctx n_special
predict_special_tokens original_vocab_size _commit_hash auto_map
"""
HARMLESS = frozenset(_HARMLESS.split())
"""Keys that change no logit of a model in evaluation."""


class Keys:
    """The keys of a configuration; `finish` refuses what nobody has taken."""

    def __init__(self, values: Mapping[str, Any], place: Path) -> None:
        self.values, self.place = dict(values), place
        self._taken: set[str] = set()

    def take(self, name: str, default: Any = REQUIRED) -> Any:
        """Return the value of a key, or `default` where it is absent; DataError when it must be there."""
        self._taken.add(name)
        if name not in self.values and default is REQUIRED:
            raise DataError(f"{self.place} does not say {name}; it is not whole, fetch it again")
        return self.values.get(name, default)

    def whole(self, name: str, default: Any = REQUIRED) -> Any:
        """Return a whole number above 0, or None where `default` is None and the key is null or absent."""
        value = self.take(name, default)
        if value is None and default is None:
            return None
        if type(value) is not int or not 1 <= value < 2**31:
            raise DataError(
                f"{self.place} says {name}={printable(str(value)[:40])}; a whole number above 0 belongs there"
            )
        return value

    def number(self, name: str, default: Any = REQUIRED) -> Any:
        """Return a number, or None where `default` is None and the key is null or absent."""
        value = self.take(name, default)
        if value is None and default is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"{self.place} says {name}={printable(str(value)[:40])}; a number belongs there")
        return float(value)

    def only(self, name: str, allowed: Collection[Any], default: Any) -> Any:
        """Return the value of a key of which Prospero knows the values `allowed` alone; DataError for another."""
        value = self.take(name, default)
        if isinstance(value, list | dict) or value not in allowed:
            known = ", ".join(str(item) for item in allowed)
            raise DataError(f"{self.place} says {name}={printable(str(value)[:60])}; Prospero knows {name}={known}")
        return value

    def finish(self) -> None:
        """Raise DataError that names a key that was not read and may change the mathematics."""
        if self.values.get("auto_map"):
            log.info("%s names code of its own (auto_map); none of it is run", self.place)
        for name, value in self.values.items():
            if name in self._taken or name in HARMLESS:
                continue
            if value is None or value is False or value == [] or value == {}:
                continue  # what is switched off changes nothing
            if name == "quantization_config":
                raise DataError(
                    f"{self.place} says that the weights are quantised; import the model they were made from"
                )
            raise DataError(
                f"{self.place} says {name}={printable(str(value)[:60])}, which Prospero does not understand, so the "
                "model would not be the same; it is not imported"
            )
