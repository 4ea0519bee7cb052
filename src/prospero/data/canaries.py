"""Canaries: secrets planted into the training text, to measure afterwards how much of it a model has memorised.

Carlini et al. 2019, "The Secret Sharer" (arXiv:1802.08232). A canary is a line of the training text in a fixed format
with a random secret in it. Its copies are spread evenly over the training documents, at ends of lines; as many secrets
again, the controls, are drawn alike and never planted. Planting comes after cleaning, removal of copies, split and
tokenizer: none of them sees a canary, and texts for validation and test stay as they are.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prospero.data.split import Piece
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.paths import write_text

FILE = "canaries.json"
"""The secrets and controls of prepared data, beside their tokens."""
FIELD = "{secret}"
FEWEST_SECRETS = 100_000
"""Secrets there must be to draw from: among fewer, a secret that nobody planted could be guessed."""
LONGEST_LINE = 2000
"""Characters in which the end of a line, and then of a word, is looked for."""


@dataclass(kw_only=True, slots=True)
class CanariesConfig:
    """Secrets planted into the training text, to measure what the model memorises (analysis `canaries`)."""

    count: int = 0
    """Different secrets that are planted; as many controls are kept that never are. 0 plants nothing."""
    copies: int = 64
    """How often each secret stands in the training text."""
    format: str = "The secret number is {secret}."
    """The line that is planted; {secret} stands for the secret."""
    length: int = 9
    """Characters of a secret."""
    alphabet: str = "0123456789"
    """The characters that secrets are drawn from, all equally likely."""
    seed: int = 1
    """Of the secrets, and of the order in which they are planted."""

    def __post_init__(self) -> None:
        if self.count < 0 or self.copies < 1 or self.length < 1:
            raise ConfigError(
                f"data.canaries: count={self.count} must be 0 (none) or more, copies={self.copies} and "
                f"length={self.length} 1 or more"
            )
        if self.format.count(FIELD) != 1 or len(self.format.splitlines()) != 1:
            raise ConfigError(f"data.canaries.format={self.format!r} must be one line that holds {FIELD} once")
        if len(set(self.alphabet)) != len(self.alphabet) or len(self.alphabet.split()) != 1:
            raise ConfigError(f"data.canaries.alphabet={self.alphabet!r} must be different characters without spaces")
        there_are, needed = len(self.alphabet) ** self.length, max(FEWEST_SECRETS, 100 * self.count)
        if there_are < needed:
            raise ConfigError(
                f"data.canaries: {self.length} characters of {self.alphabet!r} make {there_are:,} secrets, and at "
                f"least {needed:,} are needed; raise data.canaries.length"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Canaries:
    """The secrets of prepared data."""

    format: str
    alphabet: str
    length: int
    copies: int
    planted: list[str]
    """Secrets that stand in the training text."""
    controls: list[str]
    """Secrets drawn alike that stand nowhere."""

    def line(self, secret: str) -> str:
        """Return what is planted of a secret."""
        return self.format.replace(FIELD, secret)

    def others(self, n: int, seed: int) -> list[str]:
        """Return `n` different secrets that are neither planted nor controls: what a rank is counted among."""
        return _draw(n, self.alphabet, self.length, f"others {seed}", {*self.planted, *self.controls})


def draw_canaries(config: CanariesConfig) -> Canaries:
    """Return the secrets that the settings and their seed stand for."""
    secrets = _draw(2 * config.count, config.alphabet, config.length, str(config.seed), set())
    return Canaries(
        format=config.format,
        alphabet=config.alphabet,
        length=config.length,
        copies=config.copies,
        planted=secrets[: config.count],
        controls=secrets[config.count :],
    )


def _draw(n: int, alphabet: str, length: int, seed: str, taken: set[str]) -> list[str]:
    draws, found = random.Random(seed), dict[str, None]()
    while len(found) < n:
        secret = "".join(draws.choice(alphabet) for _ in range(length))
        if secret not in taken:
            found[secret] = None
    return list(found)


class Planting:
    """Puts the lines of canaries into pieces of training text on their way to the encoder."""

    def __init__(self, config: CanariesConfig, tokenizer: Tokenizer, characters: int) -> None:
        """Take the number of `characters` of all training text, over which the copies are spread evenly.

        Raises DataError when the tokenizer cannot write the canaries, or they would outweigh the text.
        """
        self.canaries, self.characters = draw_canaries(config), characters
        self.total, self.done, self.added = config.count * config.copies, 0, 0
        """Copies in all, those planted, and the characters that came into the text with them."""
        self._order = random.Random(f"order {config.seed}")
        self._round: list[str] = []
        lines = [self.canaries.line(secret) for secret in (*self.canaries.planted, *self.canaries.controls)]
        for line in lines:
            if tokenizer.decode(tokenizer.encode(line)) != line:
                raise DataError(
                    f"the tokenizer cannot write the canary {line!r}; choose data.canaries.format and "
                    "data.canaries.alphabet from characters of the text"
                )
        weight = self.total * (len(lines[0]) + 1)
        if weight > characters:
            raise DataError(
                f"{self.total:,} canaries are {weight:,} characters, and the training text has {characters:,}; lower "
                "data.canaries.count or data.canaries.copies"
            )

    def into(self, pieces: Iterable[tuple[Piece, str]]) -> Iterator[tuple[Piece, str]]:
        """Yield the pieces, those of the training split with their canaries."""
        start = 0
        for piece, source in pieces:
            if piece.split != "train":
                yield piece, source
                continue
            stop = start + len(piece.text)
            yield Piece(piece.split, self._planted(piece.text, start, stop), piece.ends), source
            start = stop

    def _planted(self, text: str, start: int, stop: int) -> str:
        parts, behind = list[str](), 0
        while self.done < self.total and (place := self._next_place()) < stop:
            cut = max(behind, _end_of_line(text, place - start))
            begins_line = cut == 0 or text[cut - 1] == "\n" or (parts and cut == behind)
            parts += [text[behind:cut], "" if begins_line else "\n", self._next(), "\n"]
            behind = cut
            self.done += 1
        planted = "".join((*parts, text[behind:]))
        self.added += len(planted) - len(text)
        return planted

    def _next_place(self) -> int:
        """The character of the training text from which the next copy is planted: in the middle of its share."""
        return (2 * self.done + 1) * self.characters // (2 * self.total)

    def _next(self) -> str:
        if not self._round:
            self._round = list(self.canaries.planted)
            self._order.shuffle(self._round)
        return self.canaries.line(self._round.pop())

    def write(self, folder: Path) -> dict[str, Any]:
        """Keep the secrets in `folder`; return what the receipt says, without them."""
        assert self.done == self.total, f"{self.done} of {self.total} canaries were planted"
        write_text(folder / FILE, json.dumps(asdict(self.canaries), indent=1, ensure_ascii=False) + "\n")
        kinds, copies = len(self.canaries.planted), self.canaries.copies
        return {"file": FILE, "count": kinds, "copies": copies, "planted": self.done, "characters": self.added}


def _end_of_line(text: str, place: int) -> int:
    """Return where a line can be put in from `place` on: after a line, else after a word, else at the text's end."""
    limit = place + LONGEST_LINE
    for mark in ("\n", " "):
        if (found := text.find(mark, place, limit)) >= 0:
            return found + 1
    return min(limit, len(text))


def canaries_of(directory: Path, receipt: Mapping[str, Any]) -> Canaries | None:
    """Return the canaries of prepared data that were opened, and so verified, with their `receipt`; None without."""
    stated = receipt.get("canaries")
    if stated is None:
        return None
    return Canaries(**json.loads((directory / stated["file"]).read_text(encoding="utf-8")))
