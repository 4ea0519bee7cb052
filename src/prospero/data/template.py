"""A template: text in which each {field} stands for that field of a record. What a record holds is never a template."""

import string
from collections.abc import Mapping

from prospero.errors import ConfigError


class Template:
    """Pieces of text and names of fields, in their order."""

    def __init__(self, text: str, setting: str) -> None:
        """Parse `text`, the value of `setting`; ConfigError when it is no template."""
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ConfigError(f"{setting}={text!r} is no template ({error}); write {{{{ and }}}} for braces") from None
        self.parts: list[tuple[str, str | None]] = []
        for literal, field, form, conversion in parts:
            if field is not None and (not field.strip() or form or conversion):
                shown = field + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
                raise ConfigError(
                    f"{setting}={text!r}: {{{shown}}} is no field; write {{name}}, a field's name alone, and {{{{ and "
                    "}} for braces"
                )
            self.parts.append((literal, field))

    @property
    def fields(self) -> list[str]:
        """The names of the fields, each once, in their order."""
        return list(dict.fromkeys(field for _, field in self.parts if field is not None))

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with the values of the fields."""
        return "".join(literal + ("" if field is None else values[field]) for literal, field in self.parts)
