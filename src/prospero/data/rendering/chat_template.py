"""A template for dialogues, in Jinja as Hugging Face's tokenizers carry one: messages -> spans of text and of control.

The control tokens are those of the template. A message that spells one stays text: before rendering a character that
occurs nowhere in the dialogue is put inside the spelled name, and taken out after the rendered text is split at the
control tokens' names. Which part is the answer, prefixes tell: what stands before an answer, the beginning of the
assistant's turn included, must be how the text with the answer begins; the rest of it is the answer.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prospero.data.rendering.rendering import Span
from prospero.data.tokenizer.tokenizer import EOT, Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.printable import printable

Message = Mapping[str, Any]
"""{"role": "system", "user", "assistant" or "tool", "content": a text, and what else the template reads}."""

PLAIN = (
    "{%- for message in messages -%}"
    "{%- if not loop.first -%}{{ '\\n' }}{%- endif -%}"
    "{{ (message['role'] | capitalize) + ': ' + message['content'] }}"
    "{%- if message['role'] == 'assistant' -%}{{ eos_token }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ ('\\n' if messages else '') + 'Assistant:' }}{%- endif -%}"
)
"""Marks of text; the assistant's turn ends with the separator. Needs no new token, so it works with any model."""

CHATML = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
"""ChatML, as Qwen's and many other models read it; two control tokens."""

PYTHON_PROMPT = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{ '>>> ' + (message['content'] | replace('\\n', '\\n... ')) + '\\n' }}"
    "{%- else -%}{{ message['content'] + '\\n' }}{%- endif -%}"
    "{%- endfor -%}"
)
"""A session at Python's prompt, as docstrings show it: who asks writes statements, and who answers their values."""

BUILT_IN = {"plain": PLAIN, "chatml": CHATML, "python_prompt": PYTHON_PROMPT}
CONTROL_NAME = re.compile(r"<\|[A-Za-z0-9_\-]+\|>")
"""How templates spell control tokens that a tokenizer may not have yet."""
PRIVATE_USE = range(0xE000, 0xF900)
"""Characters that stand for nothing (Unicode's private use area); one that a dialogue has not is its marker."""


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`, by which some templates mark answers: what stands inside is rendered as it is."""

    tags = {"generation"}

    def parse(self, parser: Any) -> Any:
        """Return the nodes inside the tag."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


class _Refused(Exception):
    """The template called raise_exception."""


def _refuse(message: str) -> None:
    raise _Refused(message)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def environment() -> ImmutableSandboxedEnvironment:
    """Return where templates run: Hugging Face's settings and functions, and no way out (no clock either)."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _tojson  # Jinja's own escapes what HTML would read
    made.globals["raise_exception"] = _refuse
    return made


@dataclass(frozen=True, slots=True)
class Frame:
    """What a template puts around an answer."""

    lead: str
    """Text between the beginning of the assistant's turn and the answer."""
    end: str | None
    """The control token that ends the turn; None where there is none."""
    tail: str
    """All that follows the answer."""


class ChatTemplate:
    """One template and the control tokens that it may write; the rest of what it writes is text."""

    def __init__(
        self,
        source: str,
        *,
        control_tokens: Sequence[str] = (),
        eos_token: str = EOT,
        bos_token: str | None = None,
        setting: str = "rendering.template",
    ) -> None:
        """Compile `source`; ConfigError, which names `setting`, when it is no template."""
        self.source = source
        self.special = {"eos_token": eos_token, "bos_token": bos_token or eos_token, "pad_token": eos_token}
        """The variables beside the messages, as the export names them to Transformers."""
        names = {*control_tokens, eos_token, *([bos_token] if bos_token else [])}
        self.control_tokens = sorted((name for name in names if len(name) > 1), key=lambda name: (-len(name), name))
        self._pattern = re.compile("(" + "|".join(map(re.escape, self.control_tokens)) + ")")
        self._beginnings = {name[:length] for name in self.control_tokens for length in range(1, len(name))}
        self._ends = {name[length:] for name in self.control_tokens for length in range(1, len(name))}
        try:
            self._template = environment().from_string(source)
        except jinja2.TemplateError as error:
            raise ConfigError(f"{setting} is no template in Jinja: {_first_line(error)}") from None

    @classmethod
    def of(cls, tokenizer: Tokenizer, source: str | None = None) -> "ChatTemplate":
        """Return the tokenizer's own template, or `source`, over its control tokens; plain where there is neither."""
        source = source or tokenizer.chat_template or PLAIN
        names = tokenizer.control_names
        return cls(source, control_tokens=names, eos_token=tokenizer.eot_token, bos_token=tokenizer.bos_token)

    @property
    def name(self) -> str:
        """plain, chatml, or `a template of its own`."""
        return next((name for name, source in BUILT_IN.items() if source == self.source), "a template of its own")

    def reads(self, variable: str) -> bool:
        """Whether the template looks at a name such as tools or tool_calls at all."""
        return variable in self.source

    @cached_property
    def frame(self) -> Frame:
        """What stands around an answer; DataError when the template breaks prefixes."""
        question, answer = chr(PRIVATE_USE[0]), chr(PRIVATE_USE[1])
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        spans = self.spans(messages, place="the template")
        text = "".join(span.text for span in spans[next(i for i, span in enumerate(spans) if span.target) :])
        lead, _, tail = text.partition(answer)
        end = self._pattern.search(tail)
        return Frame(lead, end[0] if end else None, tail)

    def prompt(self, messages: Sequence[Message], *, place: str = "the dialogue", tools: Any = None) -> list[Span]:
        """Return the dialogue so far and the beginning of the assistant's turn; earlier answers are cut as when learnt.

        Raises DataError, with `place`, for what the template refuses.
        """
        dialogue = _Dialogue(self, messages, place, tools)
        text = dialogue.text(len(messages), begin_answer=True)
        found = [dialogue.answer(index, text) for index in dialogue.answers]
        return dialogue.spans(text, _told(found), frozenset())

    def spans(
        self,
        messages: Sequence[Message],
        *,
        loss_on: str = "response",
        place: str = "the dialogue",
        tools: Any = None,
    ) -> list[Span]:
        """Return the spans of a dialogue; the targets are each answer (response), the last, or all of it.

        An answer reaches to the control token that ends its turn. Raises DataError, with `place`, for what the template
        refuses and for a template by which the answer cannot be told.
        """
        dialogue = _Dialogue(self, messages, place, tools)
        text = dialogue.text(len(messages))
        found = [dialogue.answer(index, text) for index in dialogue.answers]
        learnt = found[-1:] if loss_on == "last_response" else found
        for bounds in learnt:
            if isinstance(bounds, str) and loss_on != "all":
                raise DataError(f"{place}: {bounds}")
        return dialogue.spans(text, _told(found), None if loss_on == "all" else frozenset(_told(learnt)))

    def render(self, messages: Sequence[Message], *, begin_answer: bool, tools: Any, place: str) -> str:
        """Return the text of messages, control tokens by their names; DataError for what the template refuses."""
        try:
            return self._template.render(
                messages=list(messages), tools=tools, documents=None, add_generation_prompt=begin_answer, **self.special
            )
        except _Refused as error:
            raise DataError(f"{place}: the template refuses the dialogue: {_first_line(error)}") from None
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise DataError(f"{place}: the template cannot render the dialogue: {_first_line(error)}") from None

    def split(self, text: str) -> list[str]:
        """Return a rendered text cut at the control tokens: text and names by turns, beginning with text."""
        return self._pattern.split(text)

    def last_name_end(self, text: str) -> int | None:
        """Return where the last control token in `text` ends; None where there is none."""
        return max((found.end() for found in self._pattern.finditer(text)), default=None)

    def disguised(self, text: str, marker: str) -> str:
        """Return a text with `marker` inside each control token's name it spells, and where one could be completed."""
        while self._pattern.search(text):
            text = self._pattern.sub(lambda found: found[0][0] + marker + found[0][1:], text)
        longest = len(self.control_tokens[0]) if self.control_tokens else 0
        if any(text[-length:] in self._beginnings for length in range(1, longest)):
            text += marker  # else the template's own text beside it might complete a name
        if any(text[:length] in self._ends for length in range(1, longest)):
            text = marker + text
        return text

    def __reduce__(self) -> tuple[Any, ...]:  # what Jinja has compiled cannot be pickled
        special = {name: self.special[name] for name in ("eos_token", "bos_token")}
        return partial(ChatTemplate, self.source, control_tokens=self.control_tokens, **special), ()


class _Dialogue:
    """One dialogue on its way through a template."""

    def __init__(self, template: ChatTemplate, messages: Sequence[Message], place: str, tools: Any) -> None:
        self.template, self.place = template, place
        written = json.dumps([list(messages), tools], ensure_ascii=False, default=str) + template.source
        self.marker = next((chr(code) for code in PRIVATE_USE if chr(code) not in written), "")
        if not self.marker:
            raise DataError(f"{place}: holds every character of Unicode's private use area; take them out")
        self.messages = [{**self._disguise(message), "role": message["role"]} for message in messages]
        self.tools = self._disguise(tools)
        self.answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        """Which messages are answers."""

    def text(self, count: int, *, begin_answer: bool = False) -> str:
        """Render the first `count` messages."""
        return self.template.render(
            self.messages[:count], begin_answer=begin_answer, tools=self.tools, place=self.place
        )

    def answer(self, index: int, whole: str) -> tuple[int, int] | str:
        """Return where answer `index` stands in the whole text, or why it cannot be told."""
        before, after = self.text(index, begin_answer=True), self.text(index + 1)
        if not after.startswith(before):
            return (
                f"the template does not go on with message {index + 1} (assistant) where it let it begin, so that the "
                "answer cannot be told; choose another rendering.template"
            )
        if not whole.startswith(after):
            return (
                f"the template writes message {index + 1} (assistant) anew when others follow it; choose "
                "rendering.loss_on=last_response, or another rendering.template"
            )
        rest = after[len(before) :]
        end = self.template.last_name_end(rest)
        rest = rest[:end] if end is not None and rest[end:].isspace() else rest
        return len(before), len(before) + len(rest)

    def spans(
        self, text: str, answers: Sequence[tuple[int, int]], targets: frozenset[tuple[int, int]] | None
    ) -> list[Span]:
        """Cut `text` at control tokens and at the answers' bounds; `targets` None: all of it is."""
        bounds = [0, *(place for answer in answers for place in answer), len(text)]
        found: list[Span] = []
        for start, stop in pairwise(bounds):
            is_target = targets is None or (start, stop) in targets
            for number, part in enumerate(self.template.split(text[start:stop])):
                part = part.replace(self.marker, "")
                if part:
                    found.append(Span(part, target=is_target, control=number % 2 == 1))
        return found

    def _disguise(self, value: Any) -> Any:
        """Return plain values with every text in them disguised."""
        if isinstance(value, str):
            return self.template.disguised(value, self.marker)
        if isinstance(value, Mapping):
            return {self._disguise(name): self._disguise(item) for name, item in value.items()}
        return [self._disguise(item) for item in value] if isinstance(value, list | tuple) else value


def _told(answers: Sequence[tuple[int, int] | str]) -> list[tuple[int, int]]:
    return [bounds for bounds in answers if not isinstance(bounds, str)]


def named_control_tokens(source: str) -> list[str]:
    """Return the control tokens that a template spells <|like_this|>."""
    return list(dict.fromkeys(CONTROL_NAME.findall(source)))


def ids_of(spans: Sequence[Span], tokenizer: Tokenizer) -> list[int]:
    """Return the tokens of spans, each encoded for itself; DataError when the tokenizer lacks a control token."""
    texts = tokenizer.encode_batch(["" if span.control else span.text for span in spans]) if spans else []
    parts = zip(spans, texts)
    return [id_ for span, ids in parts for id_ in ([tokenizer.control_id(span.text)] if span.control else ids.tolist())]


def _first_line(error: Exception) -> str:
    return printable((str(error).splitlines() or [type(error).__name__])[0])
