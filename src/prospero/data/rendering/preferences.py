"""A prompt with two answers, the chosen and the rejected one: two documents, side by side in the shards.

Each document is the prompt and one answer; the answer and the separator after it are targets. For `loss=dpo`.
"""

from dataclasses import dataclass

from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.records import Record
from prospero.data.rendering.messages import BadRecords, LossOn, MessagesConfig
from prospero.data.rendering.preference_messages import HALVES, PreferenceMessages
from prospero.data.rendering.rendering import Clean, Rendered, Rendering, Span
from prospero.data.template import Template
from prospero.errors import ConfigError, DataError

EQUAL = Drop("chosen and rejected are equal")
EMPTY = Drop("an answer is missing")
OTHER_PROMPTS = Drop("chosen and rejected answer different prompts")
NO_TEXT = Drop("a field is missing or holds no text")


@dataclass(kw_only=True, slots=True)
class PreferencesConfig:
    """One prompt, a chosen and a rejected answer, each a template over the fields of a record."""

    prompt: str | None = "{prompt}"
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces. null: what chosen and
    rejected begin with alike, up to a white space (as in Anthropic's HH data)."""
    chosen: str = "{chosen}"
    """The better answer, likewise; it is followed by the separator, which ends it."""
    rejected: str = "{rejected}"
    """The worse answer, likewise."""
    messages: bool = False
    """Whether the fields hold lists of messages (role and content, or from and value) in place of texts; chosen and
    rejected are then whole dialogues of which the last answer is learnt, or that answer alone, after the prompt."""
    template: str | None = None
    """Of messages: plain, chatml, or a file in Jinja (*.jinja); null: the tokenizer's own where it brings one, else
    plain."""
    bad_records: BadRecords = BadRecords.error
    """A record that is no pair (answers equal or missing, or to different prompts) ends the preparation in one line
    (error), or is left out and counted (drop)."""

    def __post_init__(self) -> None:
        if self.template is not None and not self.messages:
            raise ConfigError("rendering.template is that of messages; give rendering.messages=true too")

    def build(self) -> Rendering:
        """Return the rendering; ConfigError for what is no template."""
        return self._of_messages() if self.messages else Preferences(self)

    def _of_messages(self) -> PreferenceMessages:
        fields = {}
        for name, text in {
            "prompt": self.prompt or "{prompt}",
            "chosen": self.chosen,
            "rejected": self.rejected,
        }.items():
            found = Template(text, f"rendering.{name}").fields
            if len(found) != 1 or text != "{" + found[0] + "}":
                raise ConfigError(f"rendering.{name}={text!r}: messages are one field alone; write {{{name}}}")
            fields[name] = found[0]
        how = MessagesConfig(messages="messages", template=self.template, loss_on=LossOn.last_response)
        return PreferenceMessages(how.build(), fields, drops=self.bad_records is BadRecords.drop)


class Preferences(Rendering):
    """See the head of this file."""

    documents_per_example = 2

    def __init__(self, config: PreferencesConfig) -> None:
        self.drops = config.bad_records is BadRecords.drop
        given = {"prompt": config.prompt, "chosen": config.chosen, "rejected": config.rejected}
        self.templates = {name: Template(text, f"rendering.{name}") for name, text in given.items() if text is not None}
        self.fields = list(dict.fromkeys(field for template in self.templates.values() for field in template.fields))
        for name in HALVES:
            if not self.templates[name].fields:
                raise ConfigError(f"rendering.{name}={given[name]!r} names no field; write {{{name}}}, or another name")

    def __call__(self, document: Document, clean: Clean) -> Rendered | Drop:
        """Return two documents of two spans each: the prompt, and an answer as the target."""
        if document.record is None:
            raise DataError(f"{document.id} is a text, not a record; choose data=examples, or rendering=text")
        record = Record(document.id, document.record)
        values = {}
        for field in self.fields:
            try:
                text = record.text(field)
            except DataError:
                if self.drops:
                    return NO_TEXT
                if isinstance(document.record.get(field), list | tuple):
                    raise DataError(
                        f"{document.id}: field '{field}' holds a list; messages: rendering.messages=true"
                    ) from None
                raise
            cleaned = clean(text)
            if isinstance(cleaned, Drop):
                return cleaned
            values[field] = cleaned
        texts = {name: template.fill(values) for name, template in self.templates.items()}
        parted = self._parted(texts.get("prompt"), texts["chosen"], texts["rejected"])
        if not isinstance(parted, Drop):
            prompt, *answers = parted
            documents = tuple((Span(prompt), Span(answer, target=True)) for answer in answers)
            return Rendered(documents, key=prompt)
        if self.drops:
            return parted
        raise DataError(
            f"{document.id}: {parted.reason}; correct it, or leave such out with rendering.bad_records=drop"
        )

    def _parted(self, prompt: str | None, chosen: str, rejected: str) -> tuple[str, str, str] | Drop:
        """Return prompt, chosen and rejected answer, or what is wrong with them."""
        if chosen == rejected:
            return EQUAL
        if prompt is None:
            end = _last_space(chosen, rejected)
            if not chosen[:end].strip():
                return OTHER_PROMPTS
            prompt, chosen, rejected = chosen[:end], chosen[end:], rejected[end:]
        if not chosen.strip() or not rejected.strip():
            return EMPTY
        return prompt, chosen, rejected


def _last_space(one: str, other: str) -> int:
    """Return where the last white space stands that both texts have before they differ; 0 where there is none."""
    end = 0
    for place, (mine, theirs) in enumerate(zip(one, other)):
        if mine != theirs:
            break
        end = place if mine.isspace() else end
    return end
