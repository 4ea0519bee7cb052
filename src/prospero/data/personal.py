"""Personal data in text: what looks like it and, where there is a checksum, adds up.

One detector for cleaning (data/cleaning/pii.py) and for what a model writes (analysis/pii.py). Patterns are strict
rather than complete: a number of a table should not count as somebody's telephone. Each begins with what is rare in
text, and looks back from there, so that a search passes over ordinary text fast.
"""

import ipaddress
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

KINDS: tuple[str, ...] = ("email", "phone", "iban", "credit_card", "ip_address", "secret_key")


@dataclass(frozen=True, slots=True)
class Found:
    """Something personal in a text."""

    kind: str
    text: str
    start: int
    """Where it begins, in characters."""

    @property
    def stop(self) -> int:
        """Where it ends, in characters."""
        return self.start + len(self.text)


def find_personal(text: str, kinds: Collection[str] = KINDS) -> list[Found]:
    """Return what is found in `text`, in its order; of two that overlap the one of the earlier rule counts."""
    found: list[Found] = []
    starts: list[int] = []
    numbers = _NUMBER.search(text) is not None
    for kind, find, of_numbers in _RULES:
        if kind not in kinds or (of_numbers and not numbers):
            continue
        for start, stop in find(text):
            place = bisect_left(starts, start)
            if (place and found[place - 1].stop > start) or (place < len(found) and starts[place] < stop):
                continue
            starts.insert(place, start)
            found.insert(place, Found(kind, text[start:stop], start))
    return found


def kinds_of(found: Iterator[Found]) -> dict[str, int]:
    """Return how many there are of each kind."""
    counts = dict.fromkeys(KINDS, 0)
    for one in found:
        counts[one.kind] += 1
    return counts


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


def _emails(text: str) -> Iterator[tuple[int, int]]:
    """Yield addresses: what stands before an @ is looked for from there."""
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at)
        if domain and domain.group(1).lower() not in _FILE_ENDINGS:
            before = _BEFORE_AT.search(text, max(0, at - 65), at)
            local = before.group().lstrip(".+-") if before else ""
            if 0 < len(local) <= 64 and local != "git":  # git@host is a place of code
                yield at - len(local), domain.end()
        at = text.find("@", at + 1)


def _matching(
    pattern: str, literals: tuple[str, ...] = (), holds: Callable[[str], bool] | None = None, before: int = 0
) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Return a search for `pattern`, which is left out where none of `literals` stands in the text.

    Where the pattern has a group, that is what is found. `before`: how many characters before a match, which the
    pattern looked back at, belong to it.
    """
    compiled = re.compile(pattern, re.ASCII)

    def find(text: str) -> Iterator[tuple[int, int]]:
        if literals and not any(literal in text for literal in literals):
            return
        for match in compiled.finditer(text):
            start, stop = match.span(match.lastindex or 0)
            start -= before
            if holds is None or holds(text[start:stop]):
                yield start, stop

    return find


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Yield public addresses of four numbers, unless a word before them says that they number something else."""
    for start, stop in _FOUR_NUMBERS(text):
        if _NUMBERED.search(text, max(0, start - 12), start) is None:
            yield start, stop


def _card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    issued = any(len(digits) in lengths and re.match(start, digits) for start, lengths in _ISSUERS)
    return issued and len(set(digits)) > 3 and luhn(digits)


def _phone(text: str) -> bool:
    if text.startswith("+") and (_COUNTRY.match(text) is None or _DECIMAL.fullmatch(text) is not None):
        return False
    return 8 <= sum(sign.isdigit() for sign in text) <= 15


def _public_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and not text.endswith(".0")  # that is a network, or a version


_DOMAIN = re.compile(r"@(?:[A-Za-z0-9-]{1,63}\.)+([A-Za-z]{2,24})(?![\w@(\[])", re.ASCII)
_BEFORE_AT = re.compile(r"[A-Za-z0-9_.+\-\u00c0-\u024f]+\Z")
_FILE_ENDINGS = frozenset(
    {"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "js", "mjs", "ts", "css", "html", "json", "md", "py", "zip"}
)
"""Ends of names such as icon@2x.png that are no domains, or seldom (md, py, zip)."""
_COUNTRY = re.compile(
    r"\+(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|21[12368]|2[2-69]\d|3[578]\d|42\d|5[09]\d|6[7-9]\d"
    r"|8[05-8]\d|9[679]\d)"
)
"""Codes of countries and of the services between them (ITU-T E.164)."""
_DECIMAL = re.compile(r"\+\d+\.\d+")
_NUMBER = re.compile(r"[0-9][0-9 .-]{6}")
_ISSUERS = ((r"4", (16, 19)), (r"5[1-5]|2[2-7]", (16,)), (r"3[47]", (15,)), (r"6(?:011|5)", (16,)))
"""How numbers of cards begin and how long they are: Visa, Mastercard, American Express, Discover."""
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26,
    "UA": 29, "VG": 24, "XK": 20,
}  # fmt: skip
_KEYS = (
    (r"A(?:KI|SI)A", ("AKIA", "ASIA"), r"[0-9A-Z]{16}(?![0-9A-Za-z])"),  # Amazon, the name of a key
    (r"gh[pousr]_", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"[A-Za-z0-9]{36}"),  # GitHub
    (r"github_pat_", ("github_pat_",), r"[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),  # GitHub
    (r"glpat-", ("glpat-",), r"[A-Za-z0-9_-]{20}"),  # GitLab
    (r"hf_", ("hf_",), r"[A-Za-z0-9]{34}"),  # Hugging Face
    (r"sk-", ("sk-",), r"(?=[A-Za-z_-]{0,99}\d)[A-Za-z0-9_-]{32,}"),  # OpenAI and others
    (r"[sr]k_live_", ("k_live_",), r"[A-Za-z0-9]{24,}"),  # Stripe
    (r"AIza", ("AIza",), r"[0-9A-Za-z_-]{35}"),  # Google
    (r"xox[abprs]-", ("xox",), r"[0-9A-Za-z-]{20,}"),  # Slack
    (r"npm_", ("npm_",), r"[A-Za-z0-9]{36}"),  # npm
    (r"pypi-", ("pypi-AgEIcHlwaS5vcmc",), r"AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),  # PyPI
    (r"SG\.", ("SG.",), r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),  # SendGrid
    (r"eyJ", ("eyJ",), r"[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),  # a JSON web token
)
"""How a service's keys begin, literals one of which then stands in the text, and how they go on."""
_SECRET_OF_AMAZON = (
    r"(?:aws_secret_access_key|AWS_SECRET_ACCESS_KEY)[\"']?[ \t]*[=:][ \t]*[\"']?([A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])"
)
_PRIVATE_KEY = (
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[A-Za-z0-9+/=\s\\:,.]|-(?!-)){0,20000}?-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:\s+[A-Za-z0-9+/=]{40,})*)"
)
"""The whole block, or, where it was cut off, the lines that are left of it."""
_IBAN = r"\d(?<=[A-Z]{2}.)(?<!\w[A-Z]{2}.)\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"
_FOUR_NUMBERS = _matching(r"\d(?<![\w.].)\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?![\w.]\w|\w)", (".",), _public_address)
_NUMBERED = re.compile(
    r"(?:[=~<>]=|§|sections?|sec\.|versions?|release|chapter|clause|table|figure)[ \t-]*\Z", re.IGNORECASE
)


_LONG_ADDRESS = r"[23](?<![\w:.].)[0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:]|\.\w)"
"""Of the global unicast addresses, 2000::/3."""
_WITH_A_PLUS = r"\+(?<![\w.+-].)[1-9]\d{0,2}[ .-]?(?:\(\d{1,5}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}(?![\w-]|\.\d)"


def _key_rules() -> Iterator[tuple[str, Callable[[str], Iterator[tuple[int, int]]]]]:
    yield "secret_key", _matching(_PRIVATE_KEY, ("PRIVATE KEY",))
    yield "secret_key", _matching(_SECRET_OF_AMAZON, ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"))
    for begin, literals, rest in _KEYS:
        yield "secret_key", _matching(rf"(?<![A-Za-z0-9_-]){begin}{rest}", literals)


_RULES: tuple[tuple[str, Callable[[str], Iterator[tuple[int, int]]], bool], ...] = (
    *((kind, find, False) for kind, find in _key_rules()),
    ("email", _emails, False),
    ("iban", _matching(_IBAN, (), iban, before=2), True),
    ("credit_card", _matching(r"\d(?<![\w.-].)\d{3}(?:[ -]?\d){9,15}(?!\w|[.-]\d)", (), _card), True),
    ("ip_address", _addresses, True),
    ("ip_address", _matching(_LONG_ADDRESS, (":",), _public_address), False),
    ("phone", _matching(_WITH_A_PLUS, ("+",), _phone), False),
    ("phone", _matching(r"\((?<![\w.+-].)\d{3}\) ?\d{3}[ .-]\d{4}(?![\w-]|\.\d)", ("(",), _phone), False),
    ("phone", _matching(r"\d(?<![\w.+-].)\d{2}-\d{3}-\d{4}(?![\w-]|\.\d)", ("-",), _phone), True),
)
"""Kind, where in a text it is found, and whether that begins with seven signs of a number in a row, which most texts
have not. A telephone number needs a + or North American signs: bare digits are anything."""
