"""Many prompts from a file, their texts to a JSONL file, in order; a killed job goes on where it stopped.

prompts   .jsonl: one object a line with a text `prompt`, or with the name of a picture as `image` (and perhaps a
          prompt), whose other fields are handed through; any other name: one prompt a line
out       one object a line: the fields handed through, and row, sample, prompt, text, tokens, log_probabilities,
          ended_by, made_with
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from prospero.errors import ConfigError, DataError
from prospero.generation.text import Completion
from prospero.log import log

OURS = ("row", "sample", "prompt", "text", "tokens", "log_probabilities", "ended_by", "made_with")
"""The fields of a line that are written here, in their order."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt and the other fields of its line."""

    text: str
    fields: Mapping[str, Any]
    image: str | None = None
    """The name of the picture before it, which stays among the fields."""


def read_prompts(path: Path) -> list[Prompt]:
    """Return the prompts of a .jsonl or a text file; ConfigError when it cannot be read, a line is none, or all are."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompts={path} cannot be read: {error}") from error
    lines = [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    if path.suffix in (".jsonl", ".ndjson"):
        prompts = [_prompt(line, f"{path} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    else:
        prompts = [Prompt(line, {}) for line in lines]
    if not prompts:
        raise ConfigError(f"prompts={path} holds no prompt; write one a line")
    return prompts


def _prompt(line: str, place: str) -> Prompt:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place} is no JSON ({error}); write one object a line, {{'prompt': '...'}}") from error
    image = fields.get("image") if isinstance(fields, dict) else None
    if isinstance(image, str):
        fields = {"prompt": "", **fields}  # after a picture the text may be all the model's
    if not isinstance(fields, dict) or not isinstance(fields.get("prompt"), str):
        raise ConfigError(f'{place} is no object with a text \'prompt\'; write one a line, {{"prompt": "..."}}')
    if taken := sorted(set(fields) & (set(OURS) - {"prompt"})):
        raise ConfigError(f"{place} has a field '{taken[0]}', which is written here; give it another name")
    return Prompt(fields.pop("prompt"), fields, image if isinstance(image, str) else None)


class TextsFile:
    """The JSONL file of texts: what it holds is counted and checked, then it grows line by line."""

    def __init__(self, path: Path, prompts: Sequence[Prompt], n: int, made_with: str) -> None:
        self.path, self.prompts, self.n, self.made_with = path, prompts, n, made_with
        self.torn = 0
        """Bytes at the end that are no whole line of ours: of a job that was killed while it wrote."""
        self.done = self._count() if os.path.lexists(path) else 0
        """Prompts whose texts are all there."""

    def write(self, results: Iterator[tuple[int, list[Completion]]]) -> None:
        """Append the texts of (number of the prompt, its texts) in the order of the prompts."""
        early: dict[int, list[Completion]] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            if self.torn:
                log.warning("%s: its last line was cut off and is written again", self.path)
                file.truncate(file.tell() - self.torn)
            for number, completions in results:
                early[number] = completions
                while self.done in early:
                    self._append(file, self.done, early.pop(self.done))
                    self.done += 1
            os.fsync(file.fileno())

    def _append(self, file: IO[bytes], row: int, completions: list[Completion]) -> None:
        prompt, lines = self.prompts[row], []
        for sample, made in enumerate(completions):
            odds = [round(value, 6) for value in made.log_probabilities]
            values = (row, sample, prompt.text, made.text, made.ids, odds, made.ended_by)
            fields = dict(prompt.fields) | dict(zip(OURS, (*values, self.made_with)))
            lines.append(json.dumps(fields) + "\n")
        file.write("".join(lines).encode())
        file.flush()

    def _count(self) -> int:
        """Return how many prompts are done; ConfigError when the file is not of this job, DataError when damaged."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ConfigError(f"out={self.path} cannot be read ({error.strerror}); choose another") from error
        *lines, rest = content.split(b"\n")
        for number, line in enumerate(lines):
            self._check(line, number)
        opening = self._opening(len(lines))
        if rest and not (rest.startswith(opening) or opening.startswith(rest)):
            raise ConfigError(f"out={self.path} ends with a line that was not written here; choose another file")
        whole = len(lines) // self.n
        self.torn = len(rest) + sum(len(line) + 1 for line in lines[whole * self.n :])
        if whole > len(self.prompts):
            raise ConfigError(f"out={self.path} holds more texts than there are prompts; choose another file")
        return whole

    def _opening(self, line: int) -> bytes:
        """Return what a line begins with."""
        row, sample = divmod(line, self.n)
        fields = dict(self.prompts[row].fields) if row < len(self.prompts) else {}
        return json.dumps(fields | {"row": row, "sample": sample}).encode().removesuffix(b"}")

    def _check(self, line: bytes, number: int) -> None:
        place = f"out={self.path} line {number + 1}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place} is damaged, or not a line of texts; choose another file") from error
        row, sample = divmod(number, self.n)
        if not isinstance(found, dict) or (found.get("row"), found.get("sample")) != (row, sample):
            raise ConfigError(f"{place} is not text {sample} of prompt {row}; choose another file")
        if row >= len(self.prompts) or found.get("prompt") != self.prompts[row].text:
            raise ConfigError(f"{place} is of another prompt than prompts= has there; choose another file")
        if found.get("made_with") != self.made_with:
            raise ConfigError(f"{place} was made by another model or with other settings; choose another file")


def settings_mark(*facts: Any) -> str:
    """Return 12 hexadecimal digits that differ when any of `facts` (plain values) does."""
    content = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
