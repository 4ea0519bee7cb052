"""The shapes of OpenAI's answers, whole and in pieces, for texts and for turns of a dialogue."""

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any, Protocol

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.generation.engine import Likely
from prospero.serving.choices import Choice, Piece

LEAST = -9999.0


class Shape(Protocol):
    """How one kind of answer is written."""

    def whole(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """Return the answer that is sent at once."""
        ...

    def opening(self, count: int) -> list[dict[str, Any]]:
        """Return what a stream of `count` texts begins with."""
        ...

    def pieces(self, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
        """Return what is sent for pieces of texts."""
        ...

    def closing(self, usage: dict[str, int]) -> dict[str, Any]:
        """Return the last object of a stream where usage is asked for."""
        ...


class _Answer:
    """What both shapes share."""

    prefix, object_whole, object_piece = "", "", ""

    def __init__(self, model: str, fingerprint: str, tokenizer: Tokenizer, *, logprobs: bool, usage: bool) -> None:
        self.id = f"{self.prefix}-{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.model, self.fingerprint, self.tokenizer = model, fingerprint, tokenizer
        self.logprobs, self.usage = logprobs, usage
        self._opened = False
        self.ours: dict[str, Any] = {}
        """What is said beside OpenAI's fields, under `prospero`."""

    def object(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Return an object of the answer."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
            **more,
        }

    def piece(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Return an object of a stream."""
        usage = {"usage": None} if self.usage else {}
        return self.object(self.object_piece, choices, **usage | more)

    def closing(self, usage: dict[str, int]) -> dict[str, Any]:
        """Return the object without choices that tells the usage."""
        return self.object(self.object_piece, [], usage=usage)

    def spelt(self, id_: int) -> tuple[str, list[int]]:
        """Return a token's text, half a character as U+FFFD and a control token by its name, and its bytes."""
        raw = self.tokenizer.byte_table[id_] if id_ < len(self.tokenizer.byte_table) else b""
        if raw:
            return raw.decode("utf-8", errors="replace"), list(raw)
        name = self.tokenizer.inner.id_to_token(id_) or ""
        return name, list(name.encode())


class ChatAnswer(_Answer):
    """/v1/chat/completions."""

    prefix, object_whole, object_piece = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def whole(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """Return the answer that is sent at once."""
        made = [
            {
                "index": choice.index,
                "message": {"role": "assistant", "content": choice.text, "refusal": None},
                "logprobs": self._logprobs(choice.tokens),
                "finish_reason": choice.finish,
            }
            for choice in choices
        ]
        return self.object(self.object_whole, made, usage=usage, prospero=self.ours)

    def opening(self, count: int) -> list[dict[str, Any]]:
        """Return the role of each text."""
        delta = {"role": "assistant", "content": "", "refusal": None}
        made = [{"index": index, "delta": delta, "logprobs": None, "finish_reason": None} for index in range(count)]
        return [self.piece([choice], prospero=self.ours) for choice in made]

    def pieces(self, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
        """Return the text of each piece, and an empty delta where a text has ended."""
        found = []
        for piece in pieces:
            if piece.text or piece.tokens:
                logprobs = self._logprobs(piece.tokens)
                choice = {"index": piece.index, "delta": {"content": piece.text}, "logprobs": logprobs}
                found.append(self.piece([{**choice, "finish_reason": None}]))
            if piece.finish is not None:
                choice = {"index": piece.index, "delta": {}, "logprobs": None, "finish_reason": piece.finish}
                found.append(self.piece([choice], prospero={"ended_by": piece.ended_by}))
        return found

    def _logprobs(self, tokens: Sequence[Likely]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        content = [
            {
                **self._weighed(token.id, token.log_probability),
                "top_logprobs": [self._weighed(*pair) for pair in token.top],
            }
            for token in tokens
        ]
        return {"content": content, "refusal": None}

    def _weighed(self, id_: int, log_probability: float) -> dict[str, Any]:
        text, raw = self.spelt(id_)
        return {"token": text, "logprob": _bounded(log_probability), "bytes": raw}


class TextAnswer(_Answer):
    """/v1/completions."""

    prefix, object_whole, object_piece = "cmpl", "text_completion", "text_completion"

    def whole(self, choices: Sequence[Choice], usage: dict[str, int]) -> dict[str, Any]:
        """Return the answer that is sent at once."""
        made = [self._choice(Piece(c.index, c.text, c.tokens, c.finish)) for c in choices]
        return self.object(self.object_whole, made, usage=usage, prospero=self.ours)

    def opening(self, count: int) -> list[dict[str, Any]]:
        """Return nothing: a text begins with its first piece."""
        return []

    def pieces(self, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
        """Return the text of each piece."""
        shown = [piece for piece in pieces if piece.text or piece.tokens or piece.finish]
        found = []
        for piece in shown:
            said = {} if self._opened else self.ours
            said = said if piece.finish is None else {**said, "ended_by": piece.ended_by}
            found.append(self.piece([self._choice(piece)], **({"prospero": said} if said else {})))
            self._opened = True
        return found

    def _choice(self, piece: Piece) -> dict[str, Any]:
        logprobs = self._logprobs(piece.tokens) if self.logprobs else None
        return {"index": piece.index, "text": piece.text, "logprobs": logprobs, "finish_reason": piece.finish}

    def _logprobs(self, tokens: Sequence[Likely]) -> dict[str, Any]:
        return {
            "tokens": [self.spelt(token.id)[0] for token in tokens],
            "token_logprobs": [_bounded(token.log_probability) for token in tokens],
            "top_logprobs": [
                {self.spelt(id_)[0]: _bounded(value) for id_, value in reversed(token.top)} for token in tokens
            ],
            "text_offset": [token.start for token in tokens],
        }


def _bounded(log_probability: float) -> float:
    """Return a number that JSON has: OpenAI writes -9999 for what is next to impossible; so is what is no number."""
    return max(LEAST, log_probability)


def as_json(value: Any) -> bytes:
    """Return plain values as JSON in UTF-8; half a character that a client has sent, and is told of, as an escape."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def as_event(value: Any) -> bytes:
    """Return plain values as one event of a stream."""
    return b"data: " + as_json(value) + b"\n\n"


DONE = b"data: [DONE]\n\n"
