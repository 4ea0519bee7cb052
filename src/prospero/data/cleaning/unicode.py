"""Unicode normalisation: one way of writing each character (Unicode Standard Annex 15)."""

import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import Literal


class UnicodeForm(Enum):
    """The normal forms. The compatibility forms (with k) lose meaning: they turn x² into x2."""

    nfc = "NFC"
    nfd = "NFD"
    nfkc = "NFKC"
    nfkd = "NFKD"


@dataclass(kw_only=True, slots=True)
class UnicodeConfig:
    """Write each character in one way: é as one code point, not as e and an accent."""

    form: UnicodeForm = UnicodeForm.nfc
    """Normal form; nfkc and nfkd change what a text says (x² becomes x2)."""

    def build(self) -> "UnicodeNormalization":
        """Return the step."""
        return UnicodeNormalization(self.form.value)


class UnicodeNormalization:
    """Bring a text into a normal form; costs almost nothing when it is in it already."""

    def __init__(self, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
        self.form: Literal["NFC", "NFD", "NFKC", "NFKD"] = form

    def __call__(self, text: str) -> str:
        """Return the normalised text."""
        if text.isascii() or unicodedata.is_normalized(self.form, text):
            return text
        return unicodedata.normalize(self.form, text)
