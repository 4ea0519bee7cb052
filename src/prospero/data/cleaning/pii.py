"""Personal data out of the text: mail and IP addresses, telephone, card and account numbers, keys of services.

What counts as such stands in data/personal.py, which looks through what models write too. To leave out documents with
more than five of them is a rule of Dolma (Soldaini et al. 2024, arXiv:2402.00159).
"""

from dataclasses import dataclass
from enum import Enum

from prospero.data.cleaning.step import Drop
from prospero.data.personal import KINDS, find_personal
from prospero.errors import ConfigError, suggest


class PiiAction(Enum):
    """What becomes of personal data."""

    replace = "replace"
    mask = "mask"
    drop = "drop"


@dataclass(kw_only=True, slots=True)
class PiiConfig:
    """Replace, mask or drop e-mail and public IP addresses, telephone, card and account numbers, and keys."""

    kinds: list[str] | None = None
    """What to look for: email, phone, iban, credit_card, ip_address, secret_key; null means all."""
    action: PiiAction = PiiAction.replace
    """Put a placeholder in its place; or a star in place of each letter and digit; or drop the document."""
    placeholder: str = "<{kind}>"
    """What is written in its place; {kind} becomes the kind in small letters."""
    max_per_document: int | None = None
    """Documents that hold more of them are dropped; Dolma's bound is 5, null means no limit."""

    def __post_init__(self) -> None:
        for kind in self.kinds or ():
            if kind not in KINDS:
                raise ConfigError(f"kinds: there is no '{kind}'; known: {', '.join(KINDS)}.{suggest(kind, KINDS)}")
        if self.kinds == []:
            raise ConfigError(f"kinds=[]: nothing would be looked for; name some of {', '.join(KINDS)}.")
        if self.max_per_document is not None and self.max_per_document < 0:
            raise ConfigError(f"max_per_document={self.max_per_document}; choose 0, 1, 2, ... or null for no limit.")
        if self.max_per_document is not None and self.action is PiiAction.drop:
            raise ConfigError(
                f"max_per_document={self.max_per_document}: action=drop drops at the first already; choose replace or "
                "mask."
            )

    def build(self) -> "Pii":
        """Return the step."""
        return Pii(self)


class Pii:
    """Find personal data and do with it what the settings say; what is dropped is shown in no report."""

    def __init__(self, config: PiiConfig) -> None:
        self.kinds = frozenset(KINDS if config.kinds is None else config.kinds)
        self.action = config.action
        self.placeholders = {kind: config.placeholder.replace("{kind}", kind) for kind in self.kinds}
        self.max_per_document = config.max_per_document

    def __call__(self, text: str) -> str | Drop:
        """Return the text without personal data, or the reason to drop it."""
        found = find_personal(text, self.kinds)
        if not found:
            return text
        if self.action is PiiAction.drop:
            return Drop(f"holds {found[0].kind}", private=True)
        if self.max_per_document is not None and len(found) > self.max_per_document:
            return Drop("too much personal data", private=True)
        pieces, place = [], 0
        for one in found:
            pieces += [text[place : one.start], self._instead(one.kind, one.text)]
            place = one.stop
        return "".join([*pieces, text[place:]])

    def _instead(self, kind: str, text: str) -> str:
        if self.action is PiiAction.replace:
            return self.placeholders[kind]
        return "".join("*" if sign.isalnum() else sign for sign in text)
