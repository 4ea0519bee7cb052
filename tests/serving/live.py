"""A server that runs in a thread of the test, over a tiny model or a scripted one."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx
import torch

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.generation.decoder import Decoder, ModelDecoder
from prospero.generation.sampling import SamplingConfig
from prospero.serving.app import Service, create_app
from prospero.serving.guard import Access
from prospero.serving.limits import LimitsConfig
from prospero.serving.served_model import ServedModel
from prospero.serving.server import Server, open_socket, run, url_of
from prospero.serving.worker import Worker
from tests.generation.presets import TOKENIZER, tiny

SAMPLING = SamplingConfig(max_new_tokens=8)
JSON = {"content-type": "application/json"}
HTTP = httpx.Client(timeout=30, trust_env=False)
"""One for all tests: each would read the certificates of the machine anew."""


class Scripted:
    """Writes `text` after every prompt, for each row from its beginning, then the separator; waits at a gate."""

    def __init__(self, text: str, tokenizer: Tokenizer = TOKENIZER, window: int | None = None) -> None:
        self.tokenizer, self.window, self.ids = tokenizer, window, tokenizer.encode(text)
        self.places: list[int] = []
        self.read: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.steps = 0
        self.fails = False

    @property
    def rows(self) -> int:
        return len(self.places)

    def add(self, prompts: Sequence[Sequence[int]], copies: Sequence[int], images: Any = None) -> torch.Tensor:
        self.read += [list(prompt) for prompt in prompts]
        self.places += [0] * len(copies)
        return self._next()[-len(copies) :]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        if self.steps:  # what the first token says is known before the second is asked for
            self.gate.wait(20)
        self.steps += 1
        if self.fails:
            self.fails = False
            raise RuntimeError("secret words of a prompt")
        self.places = [place + 1 for place in self.places]
        return self._next()

    def _next(self) -> torch.Tensor:
        logits = torch.zeros(len(self.places), self.tokenizer.vocab_size)
        for row, place in enumerate(self.places):
            logits[row, self.ids[place] if place < len(self.ids) else self.tokenizer.eot_id] = 30.0
        return logits

    def select(self, rows: Sequence[int]) -> None:
        self.places = [self.places[row] for row in rows]

    def session(self) -> Any:
        return nullcontext()


class Slow(Scripted):
    """Takes its time for each token."""

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return super().step(tokens)


def served(
    decoder: Decoder | Any, name: str = "tiny", tokenizer: Tokenizer = TOKENIZER, **settings: Any
) -> ServedModel:
    """Return a model as the server takes it."""
    facts = {"sampling": SAMPLING, "parameters": 1234, "precision": "float32", "fingerprint": "fp_1", "created": 17}
    return ServedModel(name=name, decoder=decoder, tokenizer=tokenizer, **{**facts, **settings})


def tiny_decoder() -> ModelDecoder:
    """Return what decodes with a model of a few thousand parameters, which reads 32 tokens at once."""
    return ModelDecoder(tiny("tiny"))


@dataclass
class Live:
    """A server that answers."""

    url: str
    service: Service
    server: Server

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Send a body of JSON."""
        return HTTP.post(f"{self.url}{path}", json=body)

    def complete(self, **body: Any) -> dict[str, Any]:
        """Return the answer to a request for a completion, which must succeed."""
        answer = self.post("/v1/completions", **body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def live(
    *models: ServedModel,
    limits: LimitsConfig | None = None,
    access: Access | None = None,
    rows: int = 4,
    stop_seconds: float = 5.0,
) -> Iterator[Live]:
    """Serve `models` on a free port until the block ends."""
    limits = limits or LimitsConfig()
    workers = {model.name: Worker(model, max_rows=rows, max_waiting=limits.waiting) for model in models}
    service = Service(workers, limits)
    with open_socket("127.0.0.1", 0) as opened:
        made = create_app(service, access)
        server = Server(made, [*workers.values()], stop_seconds=stop_seconds, connections=limits.connections)
        started = threading.Event()
        server.on_started = started.set
        thread = threading.Thread(target=run, args=(server, opened))
        url = url_of(opened)
        thread.start()
        try:
            assert started.wait(20)
            yield Live(url, service, server)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
            assert not any(worker.alive for worker in workers.values())
