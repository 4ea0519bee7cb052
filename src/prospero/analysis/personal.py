"""Personal data in text: what looks like it and, where there is a checksum, adds up.

Patterns are strict rather than complete: a number of a table should not count as somebody's telephone.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

KINDS: tuple[str, ...] = ("email", "phone", "iban", "credit_card", "ip_address", "secret_key")


@dataclass(frozen=True, slots=True)
class Found:
    """Something personal in a text."""

    kind: str
    text: str


def find_personal(text: str) -> list[Found]:
    """Return what is found in `text`, in its order; of two that overlap the one of the earlier kind counts."""
    taken: list[tuple[int, int]] = []
    found: list[tuple[int, Found]] = []
    for kind, pattern, holds in _RULES:
        for match in pattern.finditer(text):
            start, stop = match.span()
            if any(start < other_stop and other_start < stop for other_start, other_stop in taken):
                continue
            if holds(match.group()):
                taken.append((start, stop))
                found.append((start, Found(kind, match.group())))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def luhn(number: str) -> bool:
    """Return whether the digits of `number` add up (ISO/IEC 7812: every second doubled, from the right, modulo 10)."""
    digits = [int(sign) for sign in reversed(number) if sign.isdigit()]
    doubled = (digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(digits))
    return sum(doubled) % 10 == 0


def iban(number: str) -> bool:
    """Return whether an account's number has its country's length and leaves 1 modulo 97 (ISO 13616)."""
    plain = number.replace(" ", "").upper()
    if len(plain) != _IBAN_LENGTHS.get(plain[:2]):
        return False
    digits = "".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])
    return int(digits) % 97 == 1


def _card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    issued = any(len(digits) in lengths and re.match(start, digits) for start, lengths in _ISSUERS)
    return issued and len(set(digits)) > 3 and luhn(digits)


def _phone(text: str) -> bool:
    return 8 <= sum(sign.isdigit() for sign in text) <= 15


def _public_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _always(text: str) -> bool:
    return True


_ISSUERS = ((r"4", (13, 16, 19)), (r"5[1-5]|2[2-7]", (16,)), (r"3[47]", (15,)), (r"6(?:011|5)", (16,)))
"""How numbers of cards begin and how long they are: Visa, Mastercard, American Express, Discover."""
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20,
    "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24,
    "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26,
}  # fmt: skip
_KEYS = (
    r"AKIA[0-9A-Z]{16}",  # Amazon
    r"gh[pousr]_[A-Za-z0-9]{36}",  # GitHub
    r"hf_[A-Za-z0-9]{34}",  # Hugging Face
    r"sk-[A-Za-z0-9_-]{32,}",  # OpenAI and others
    r"AIza[0-9A-Za-z_-]{35}",  # Google
    r"xox[abprs]-[0-9A-Za-z-]{20,}",  # Slack
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # a JSON web token
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
)
_RULES: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("secret_key", re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_KEYS)})"), _always),
    ("email", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w@])"), _always),
    ("iban", re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"), iban),
    ("credit_card", re.compile(r"(?<![\d.-])\d{4}(?:[ -]?\d){9,15}(?![\d.-]\d|\d)"), _card),
    (
        "ip_address",
        re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]\w|\w)|(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])"),
        _public_address,
    ),
    (
        "phone",
        re.compile(r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,5}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}"
                   r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}-\d{3}-\d{4})(?![\w-]|\.\d)"),
        _phone,
    ),
)  # fmt: skip
"""Kind, what it looks like, and whether a match is one. A telephone number needs a + or North American signs: bare
digits are anything."""


def kinds_of(found: Iterator[Found]) -> dict[str, int]:
    """Return how many there are of each kind."""
    counts = dict.fromkeys(KINDS, 0)
    for one in found:
        counts[one.kind] += 1
    return counts
