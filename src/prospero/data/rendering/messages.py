"""Dialogues: messages by role, rendered by a template in Jinja; the assistant's turns are learnt.

Three formats are recognised: OpenAI's messages (role, content), ShareGPT's conversations (from, value), and Alpaca's
instruction, input and output, which are one question and one answer.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.records import Record
from prospero.data.rendering.chat_template import BUILT_IN, ChatTemplate, named_control_tokens
from prospero.data.rendering.dialogue_formats import NAMES, BadRecord, check_answers, read_dialogue
from prospero.data.rendering.rendering import Clean, Rendered, Rendering, Span
from prospero.data.tokenizer.tokenizer import EOT, Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.log import log


class DialogueFormat(Enum):
    """How records write dialogues."""

    auto = "auto"
    openai = "openai"
    sharegpt = "sharegpt"
    alpaca = "alpaca"


class LossOn(Enum):
    """Which part of a dialogue is learnt."""

    response = "response"
    last_response = "last_response"
    all = "all"


class BadRecords(Enum):
    """What becomes of a record that is no dialogue."""

    error = "error"
    drop = "drop"


@dataclass(kw_only=True, slots=True)
class MessagesConfig:
    """Dialogues of system, user, assistant and tool, rendered by a template; the answers are learnt."""

    messages: str | None = None
    """Field that holds the turns; null: messages, conversations or conversation, or Alpaca's fields."""
    format: DialogueFormat = DialogueFormat.auto
    """openai (role, content), sharegpt (from, value), alpaca (instruction, input, output), or auto: what is found."""
    template: str | None = None
    """plain, chatml, or a file in Jinja (*.jinja); null: the tokenizer's own where it brings one, else plain."""
    control_tokens: list[str] = field(default_factory=list)
    """Control tokens of the template beyond those that it spells <|like_this|>."""
    tools: str | None = None
    """Field with the descriptions of tools, for a template that reads them; null: none."""
    loss_on: LossOn = LossOn.response
    """Every answer (response), the last of a dialogue (last_response), or every token (all)."""
    bad_records: BadRecords = BadRecords.error
    """A record that is no dialogue ends the preparation in one line (error), or is left out and counted (drop)."""

    def __post_init__(self) -> None:
        for name in ("messages", "template", "tools"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"rendering.{name}= is empty; give a name, or leave it out")
        if self.format is DialogueFormat.alpaca and self.messages is not None:
            raise ConfigError(
                f"rendering.messages={self.messages} names the field of the turns, and format=alpaca has none: it "
                "reads instruction, input and output"
            )

    def build(self) -> "Messages":
        """Return the rendering; ConfigError for a template that there is not, or that is none."""
        return Messages(self, None if self.template is None else template_source(self.template))


def template_source(template: str, setting: str = "rendering.template") -> str:
    """Return the text of a built-in template or of a file; ConfigError when there is neither."""
    if template in BUILT_IN:
        return BUILT_IN[template]
    try:
        return Path(template).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(
            f"{setting}={template} is neither {' nor '.join(BUILT_IN)}, nor a file that can be read ({reason})"
        ) from None


class Messages(Rendering):
    """See the head of this file."""

    def __init__(self, config: MessagesConfig, source: str | None) -> None:
        self.config, self.source = config, source
        self.formats: Counter[str] = Counter()
        self.roles: Counter[str] = Counter()
        self.template = self._template(None)

    def begin(self, tokenizer: Tokenizer | None) -> None:
        """Take the tokenizer's own template where no other is asked for."""
        self.template = self._template(tokenizer)

    def _template(self, tokenizer: Tokenizer | None) -> ChatTemplate:
        own = None if tokenizer is None else tokenizer.chat_template
        source = self.source or own or BUILT_IN["plain"]
        names = [*self.config.control_tokens, *([] if tokenizer is None else tokenizer.control_names)]
        names += named_control_tokens(source) if self.source is not None else []
        eos, bos = (EOT, None) if tokenizer is None else (tokenizer.eot_token, tokenizer.bos_token)
        return ChatTemplate(source, control_tokens=names, eos_token=eos, bos_token=bos)

    def identity(self) -> dict[str, Any]:
        """Return the template's text."""
        return {"template": self.source}

    def __call__(self, document: Document, clean: Clean) -> Rendered | Drop:
        """Return the spans of one dialogue."""
        if document.record is None:
            raise DataError(f"{document.id} is a text, not a record; choose data=examples, or rendering=text")
        try:
            return self._rendered(Record(document.id, document.record), clean)
        except BadRecord as bad:
            if self.config.bad_records is BadRecords.error:
                raise
            return Drop(bad.reason)

    def _rendered(self, record: Record, clean: Clean) -> Rendered | Drop:
        read = read_dialogue(record, self.config.messages, self.config.format.name)
        messages = read.messages
        check_answers(record.place, messages)
        for number, message in enumerate(messages, 1):
            cleaned = clean(message["content"])
            if isinstance(cleaned, Drop):
                return cleaned
            message["content"] = cleaned
            if message.get("tool_calls") and not self.template.reads("tool_calls"):
                found = f"message {number} has tool_calls, which the template ({self.template.name}) does not render"
                raise BadRecord(record.place, f"{found}; choose a rendering.template that does", "tool calls")
        tools = None if self.config.tools is None else record.value(self.config.tools)
        try:
            spans = self.template.spans(messages, loss_on=self.config.loss_on.name, place=record.place, tools=tools)
        except DataError as error:
            found = str(error).removeprefix(f"{record.place}: ")
            raise BadRecord(record.place, found, "refused by the template") from None
        self._count(read.format, read.field, messages)
        key = "\n".join(message["content"] for message in messages[: _first_answer(messages)])
        return Rendered((self._without_separator(spans),), key=key)

    def _without_separator(self, spans: list[Span]) -> tuple[Span, ...]:
        """Leave out a separator at the end: each document is followed by one anyhow."""
        ends = spans[-1].control and spans[-1].text == self.template.special["eos_token"]
        return tuple(spans[:-1] if ends else spans)

    def _count(self, form: str, field: str, messages: list[dict[str, Any]]) -> None:
        if not self.formats[form]:
            log.info("Examples: %s, in the field %s, by the template %s.", NAMES[form], field, self.template.name)
        self.formats[form] += 1
        self.roles.update(message["role"] for message in messages)

    def equipped(self, tokenizer: Tokenizer) -> Tokenizer:
        """Return the tokenizer with the template and its control tokens."""
        names = [name for name in self.template.control_tokens if name not in tokenizer.control_names]
        if not names and tokenizer.chat_template == self.template.source:
            return tokenizer
        if names:
            log.info("The template adds control tokens to the tokenizer: %s.", ", ".join(sorted(names)))
        return tokenizer.with_control_tokens(sorted(names), self.template.source)

    def facts(self) -> dict[str, Any]:
        """Return the formats that were recognised and how many messages each role has."""
        return {
            "formats": {NAMES[name]: count for name, count in sorted(self.formats.items())},
            "template": self.template.name,
            "messages": dict(sorted(self.roles.items())),
            "loss_on": self.config.loss_on.name,
        }


def _first_answer(messages: list[dict[str, Any]]) -> int:
    return next(index for index, message in enumerate(messages) if message["role"] == "assistant")
