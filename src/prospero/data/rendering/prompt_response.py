"""A prompt and its response: the prompt is read, the response and the separator after it are learnt."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.records import Record
from prospero.data.rendering.chat_template import named_control_tokens
from prospero.data.rendering.messages import template_source
from prospero.data.rendering.rendering import Clean, Rendered, Rendering, Span
from prospero.data.template import Template
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import DataError

EMPTY = Drop("empty response")


@dataclass(kw_only=True, slots=True)
class PromptResponseConfig:
    """One prompt, one response, each a template over the fields of a record."""

    prompt: str = "{prompt}"
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces."""
    response: str = "{response}"
    """The response, likewise; it is followed by the separator, which ends it."""
    chat: str | None = None
    """Template for dialogues by which `prospero chat` asks the model as these prompts do, kept with the tokenizer:
    python_prompt, plain, chatml, or a file in Jinja; null: none."""
    keep: list[str] = field(default_factory=list)
    """Fields that are kept as they are beside the tokens, for rewards that read them; lists are joined by line ends."""

    def build(self) -> "PromptResponse":
        """Return the rendering; ConfigError for what is no template."""
        prompt, response = Template(self.prompt, "rendering.prompt"), Template(self.response, "rendering.response")
        chat = None if self.chat is None else template_source(self.chat, "rendering.chat")
        return PromptResponse(prompt, response, chat, self.keep)


class PromptResponse(Rendering):
    """See the head of this file."""

    def __init__(self, prompt: Template, response: Template, chat: str | None = None, keep: Sequence[str] = ()) -> None:
        self.prompt, self.response, self.chat, self.keep = prompt, response, chat, keep
        self.fields = list(dict.fromkeys([*prompt.fields, *response.fields]))

    def __call__(self, document: Document, clean: Clean) -> Rendered | Drop:
        """Return two spans: the prompt, and the response as the target."""
        if document.record is None:
            raise DataError(f"{document.id} is a text, not a record; choose data=examples, or rendering=text")
        record = Record(document.id, document.record)
        values = {}
        for name in self.fields:
            cleaned = clean(record.text(name))
            if isinstance(cleaned, Drop):
                return cleaned
            values[name] = cleaned
        prompt, response = self.prompt.fill(values), self.response.fill(values)
        if not response.strip():
            return EMPTY
        kept = {name: "\n".join(record.texts(name)) for name in self.keep} if self.keep else None
        return Rendered(((Span(prompt), Span(response, target=True)),), key=prompt, kept=kept)

    def equipped(self, tokenizer: Tokenizer) -> Tokenizer:
        """Return the tokenizer with the template for dialogues, where one is given, and its control tokens."""
        if self.chat is None or tokenizer.chat_template == self.chat:
            return tokenizer
        names = {*named_control_tokens(self.chat)} - {*tokenizer.control_names}
        return tokenizer.with_control_tokens(sorted(names), self.chat)

    def identity(self) -> dict[str, Any]:
        """Return the text of that template."""
        return {} if self.chat is None else {"chat": self.chat}
