"""A prompt and its response: the prompt is read, the response and the separator after it are learnt."""

from dataclasses import dataclass

from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.records import Record
from prospero.data.rendering.rendering import Clean, Rendered, Rendering, Span
from prospero.data.template import Template
from prospero.errors import DataError

EMPTY = Drop("empty response")


@dataclass(kw_only=True, slots=True)
class PromptResponseConfig:
    """One prompt, one response, each a template over the fields of a record."""

    prompt: str = "{prompt}"
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces."""
    response: str = "{response}"
    """The response, likewise; it is followed by the separator, which ends it."""

    def build(self) -> "PromptResponse":
        """Return the rendering; ConfigError for what is no template."""
        return PromptResponse(Template(self.prompt, "rendering.prompt"), Template(self.response, "rendering.response"))


class PromptResponse(Rendering):
    """See the head of this file."""

    def __init__(self, prompt: Template, response: Template) -> None:
        self.prompt, self.response = prompt, response
        self.fields = list(dict.fromkeys([*prompt.fields, *response.fields]))

    def __call__(self, document: Document, clean: Clean) -> Rendered | Drop:
        """Return two spans: the prompt, and the response as the target."""
        if document.record is None:
            raise DataError(f"{document.id} is a text, not a record; choose data=examples, or rendering=text")
        record = Record(document.id, document.record)
        values = {}
        for field in self.fields:
            cleaned = clean(record.text(field))
            if isinstance(cleaned, Drop):
                return cleaned
            values[field] = cleaned
        prompt, response = self.prompt.fill(values), self.response.fill(values)
        if not response.strip():
            return EMPTY
        return Rendered(((Span(prompt), Span(response, target=True)),), key=prompt)
