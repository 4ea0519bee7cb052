"""A model that is served: what is known of it, and what it is given to read for what a client asks."""

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError, suggest
from prospero.generation.decoder import Decoder
from prospero.generation.engine import first_ids
from prospero.generation.sampling import SamplingConfig
from prospero.generation.turns import Turns
from prospero.serving.asks import OF_SAMPLING, ChatAsk, CompletionAsk
from prospero.serving.limits import LimitsConfig
from prospero.serving.problems import Problem, refused


@dataclass(frozen=True, slots=True)
class Row:
    """One text that is to be written."""

    ids: list[int]
    sampling: SamplingConfig
    row: int
    sample: int
    top: int | None
    ends: list[int]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows of a request: the n texts of each prompt beside each other."""

    rows: list[Row]
    prompt_tokens: int
    lead: str = ""
    """What the model writes before every answer and is no part of it."""
    left_out: int | None = None
    """Messages at the beginning of a dialogue that no longer fit; None where there is no dialogue."""


@dataclass(kw_only=True)
class ServedModel:
    """One model by its name."""

    name: str
    decoder: Decoder
    tokenizer: Tokenizer
    sampling: SamplingConfig
    """What counts where a request says nothing."""
    parameters: int | None
    """How many it has; None where that is not known."""
    precision: str
    fingerprint: str
    """Differs when weights, tokenizer or precision do."""
    created: int = field(default_factory=lambda: int(time.time()))

    @cached_property
    def turns(self) -> Turns:
        """Dialogues as this model reads them."""
        return Turns(self.tokenizer)

    def description(self) -> dict[str, Any]:
        """Return the entry of /v1/models."""
        sampling = {name: getattr(self.sampling, name) for name in OF_SAMPLING}
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "prospero",
            "prospero": {
                "kind": "completion" if self.tokenizer.chat_template is None else "dialogue",
                "context": self.decoder.window,
                "parameters": self.parameters,
                "precision": self.precision,
                "default_sampling": {**sampling, "max_tokens": self.sampling.max_new_tokens},
            },
        }

    def prepared_completion(self, ask: CompletionAsk, limits: LimitsConfig) -> Prepared:
        """Return the rows of prompts; Problem for one that the model cannot read. Rows draw as those of generate."""
        rows, tokens = [], 0
        for number, prompt in enumerate(ask.prompts):
            ids = self._prompt_ids(prompt)
            self._check_length(ids, limits)
            tokens += len(ids)
            rows += [Row(ids, ask.sampling, number, sample, ask.top, []) for sample in range(ask.sampling.n)]
        return Prepared(rows, tokens)

    def prepared_chat(self, ask: ChatAsk, limits: LimitsConfig) -> Prepared:
        """Return the rows of answers; Problem for a dialogue that the model cannot read. They draw as those of chat."""
        count = next((i for i, message in enumerate(ask.messages) if message["role"] != "system"), len(ask.messages))
        begun, turns = ask.messages[:count], ask.messages[count:]
        try:
            wanted = ask.sampling.max_new_tokens
            fitted = self.turns.fitted(begun, turns, window=self.decoder.window, wanted=wanted)
        except ConfigError as error:
            raise refused("messages", str(error), "context_length_exceeded") from None
        except DataError as error:
            raise refused("messages", str(error)) from None
        self._check_length(fitted.ids, limits)
        sampling = replace(ask.sampling, max_new_tokens=fitted.room, stop=[*ask.sampling.stop, *self.turns.marks])
        samples, row = range(ask.sampling.n), len(turns) // 2
        rows = [Row(fitted.ids, sampling, row, sample, ask.top, self.turns.ends) for sample in samples]
        return Prepared(rows, len(fitted.ids), self.turns.frame.lead, fitted.left_out)

    def _prompt_ids(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, str):
            try:
                return first_ids(self.tokenizer, prompt)
            except DataError as error:
                raise refused("prompt", str(error)) from None
        if any(not 0 <= id_ < self.tokenizer.vocab_size for id_ in prompt):
            raise refused("prompt", f"token ids of {self.name} lie from 0 to {self.tokenizer.vocab_size - 1}")
        return prompt

    def _check_length(self, ids: list[int], limits: LimitsConfig) -> None:
        window = self.decoder.window
        most = limits.prompt_tokens if window is None else min(window, limits.prompt_tokens)
        if len(ids) > most:
            raise refused(
                "prompt",
                f"the prompt has {len(ids):,} tokens and at most {most:,} can be read; shorten it by "
                f"{len(ids) - most:,}",
                "context_length_exceeded",
            )


def find_model(models: dict[str, ServedModel], name: str | None) -> ServedModel:
    """Return the model that a client names; the only one where it names none. Problem 404 for another name."""
    if name is None:
        if len(models) == 1:
            return next(iter(models.values()))
        raise refused("model", f"'model' is missing; it is one of {', '.join(models)}", "missing_field")
    if name not in models:
        shown = name if len(name) <= 100 else name[:100] + "..."
        known = f"There is {', '.join(models)}."
        raise Problem(
            404, f"There is no model '{shown}'.{suggest(name[:100], models)} {known}", param="model",
            code="model_not_found",
        )  # fmt: skip
    return models[name]
