"""`serve`: answer requests in OpenAI's interface with one model or several, and show a page to talk with them."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.data.parts import MISSING
from prospero.errors import ConfigError, ProsperoError
from prospero.generation.settings import Precision
from prospero.serving.limits import LimitsConfig
from prospero.training.parts import SamplingSettings

if TYPE_CHECKING:
    import socket

    from prospero.serving.served_model import ServedModel

EXAMPLES = [
    ("python serve.py run=last", "the newest run; the page and the interface are at http://127.0.0.1:8000"),
    ("python serve.py models.small=outputs/train/a models.large=b port=9000", "several models by name"),
    ("python serve.py run=last precision=int8 rows=32", "8-bit weights, up to 32 texts at once"),
    ("PROSPERO_API_KEY=... python serve.py run=last host=0.0.0.0", "for other machines, which need the key"),
]
KEY_VARIABLE = "PROSPERO_API_KEY"
SHORTEST_KEY = 16


@dataclass(kw_only=True, slots=True)
class ServeConfig:
    """Which models, where they are served, and who may ask for how much."""

    sampling: SamplingSettings = MISSING
    """How tokens are drawn where a request says nothing; seed, n and beams are the request's own."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    """What a request may ask for at most."""
    run: str | None = None
    """The model: last, a run's name, a folder (of a run, a checkpoint, a model, or one of Hugging Face's), or an
    .onnx file; null: last, where models= names none."""
    models: dict[str, str] = field(default_factory=dict)
    """Several models: the name in requests -> what run= takes."""
    host: str = "127.0.0.1"
    """The address to listen at; one that other machines reach needs an api_key."""
    port: int = 8000
    """The port; 0 for any free one."""
    api_key: str | None = None
    """What clients must send as `Authorization: Bearer <key>`; null: the environment's PROSPERO_API_KEY, if there is
    one."""
    allowed_hosts: list[str] = field(default_factory=list)
    """Names by which the server may be called, beside localhost and plain addresses."""
    allowed_origins: list[str] = field(default_factory=list)
    """Pages of other servers that may speak to this one, such as https://chat.example.org."""
    rows: int = 16
    """Texts of one model written side by side; they do not depend on it."""
    precision: Precision = Precision.float32
    """Weights as float32, bf16 or int8; auto takes the fastest by the clock that is at most 0.5 % worse."""
    stop_seconds: float = 30.0
    """After SIGTERM or SIGINT: how long running texts may take to end."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts the runs were made with."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "host", "outputs_dir", "api_key"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its value, or leave it out")
        if self.run is not None and self.models:
            raise ConfigError("run= is one model and models= are several by name; give one of them")
        for name, place in self.models.items():
            if not name.strip() or not place.strip():
                raise ConfigError(f"models.{name}={place} is empty; give what run= takes")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port={self.port} is no port; choose one from 1 to 65535, or 0 for any free one")
        if self.rows < 1:
            raise ConfigError(f"rows={self.rows} writes nothing; give 1 or more")
        if not 0 <= self.stop_seconds < float("inf"):
            raise ConfigError(f"stop_seconds={self.stop_seconds} is impossible; give 0 or more")
        for origin in self.allowed_origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ConfigError(f"allowed_origins holds {origin}; write it as a browser does: https://name or :port")


def serve(config: ServeConfig) -> int:
    """Open the models and answer until a signal comes; return the exit code."""
    from prospero import log as logging_setup
    from prospero.log import log
    from prospero.serving.app import Service, create_app
    from prospero.serving.guard import Access
    from prospero.serving.server import Server, open_socket, run, url_of
    from prospero.serving.worker import Worker

    logging_setup.configure()
    _check_sampling(config)
    key = _api_key(config)
    places = _places(config)
    with open_socket(config.host, config.port) as opened:
        _check_reach(opened, config, key)
        models = [_served(name, run_of, config) for name, run_of in places.items()]
        workers = {m.name: Worker(m, max_rows=config.rows, max_waiting=config.limits.waiting) for m in models}
        access = Access(key, config.allowed_hosts, config.allowed_origins)
        app = create_app(Service(workers, config.limits), access)
        connections = config.limits.connections
        server = Server(app, [*workers.values()], stop_seconds=config.stop_seconds, connections=connections)
        server.on_started = lambda: log.info("serving %s at %s (Ctrl-C ends)", ", ".join(workers), url_of(opened))
        run(server, opened)
    log.info("the server has ended")
    return 0


def _check_sampling(config: ServeConfig) -> None:
    from prospero.generation.sampling import SamplingConfig

    plain = SamplingConfig()
    for name in ("seed", "n", "beams"):
        if getattr(config.sampling, name) != getattr(plain, name):
            raise ConfigError(f"sampling.{name} is each request's own (beams are not served); leave it out")


def _api_key(config: ServeConfig) -> str | None:
    """Return the key of the setting or of the environment; ConfigError for one that could be guessed."""
    from prospero import secret_values

    key = config.api_key if config.api_key is not None else os.environ.get(KEY_VARIABLE)
    if key is None:
        return None
    secret_values.remember(key)
    if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"the API key must have at least {SHORTEST_KEY} visible ASCII characters; make one with: python -c "
            '"import secrets; print(secrets.token_urlsafe(32))"'
        )
    return key


def _places(config: ServeConfig) -> dict[str, str]:
    """Return what is to be opened: name in requests -> what run= takes; ConfigError where one is not there."""
    from prospero.commands.opening import ModelPlace

    if config.models:
        for name, place in config.models.items():
            if os.path.isfile(place):
                continue
            try:
                assert ModelPlace.find(place, config.outputs_dir).source
            except ProsperoError as error:
                raise type(error)(f"models.{name}: {error}") from None
        return dict(config.models)
    place = config.run or "last"
    if os.path.isfile(place):
        return {Path(place).stem: place}
    found = ModelPlace.find(place, config.outputs_dir)
    return {found.name: place}


def _check_reach(opened: "socket.socket", config: ServeConfig, key: str | None) -> None:
    from prospero.serving.server import is_loopback

    if key is None and not is_loopback(opened):
        raise ConfigError(
            f"host={config.host} can be reached from other machines, so clients must show a key: give api_key= or the "
            f"environment variable {KEY_VARIABLE}, or leave host= out"
        )


def _served(name: str, place: str, config: ServeConfig) -> "ServedModel":
    """Open a model and what writes with it."""
    import hashlib
    import json

    from prospero.commands.generate import GenerateConfig, open_decoder
    from prospero.commands.opening import ModelPlace, OpenModel
    from prospero.generation.settings import Engine
    from prospero.serving.served_model import ServedModel

    if os.path.isfile(place) and place.endswith(".onnx"):
        one = GenerateConfig(sampling=config.sampling, run=place, precision=config.precision, engine=Engine.onnx)
        decoder, tokenizer, mark = open_decoder(one)
        parameters = None
    else:
        found = ModelPlace(Path(place)) if os.path.isfile(place) else ModelPlace.find(place, config.outputs_dir)
        model, tokenizer, description = found.load()
        if tokenizer is None:
            raise ConfigError(f"{found.folder} has no tokenizer.json, so it cannot write text; give the run's folder")
        if model.image_shape is not None:
            raise ConfigError(f"{place} reads a picture before the text, and requests hold text only; use generate.py")
        opened = OpenModel(model, tokenizer, description)
        decoder = opened.decoder(config.precision, rows=config.rows, outputs_dir=config.outputs_dir)
        mark, parameters = opened.mark(config.precision), sum(weight.numel() for weight in model.parameters())
    told = hashlib.blake2b(json.dumps(mark, default=str, sort_keys=True).encode(), digest_size=8).hexdigest()
    return ServedModel(
        name=name,
        decoder=decoder,
        tokenizer=tokenizer,
        sampling=config.sampling,
        parameters=parameters,
        precision=config.precision.name,
        fingerprint=f"fp_{told}",
    )
