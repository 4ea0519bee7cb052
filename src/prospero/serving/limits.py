"""What a client may ask of the server at most."""

from dataclasses import dataclass, fields

from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class LimitsConfig:
    """Bounds of one request, and of all that wait."""

    body_bytes: int = 1_000_000
    """Size of a request's body."""
    messages: int = 200
    """Messages of a dialogue."""
    prompts: int = 64
    """Prompts of one request for completions."""
    choices: int = 16
    """n: texts for each prompt."""
    new_tokens: int = 4096
    """max_tokens: length of a text."""
    prompt_tokens: int = 32_768
    """Length of a prompt, where the model itself has no bound."""
    waiting: int = 128
    """Texts of one model that wait for a place in the batch; a request beyond them is answered with 503."""
    seconds: float = 300.0
    """Time of one request, waiting included; a text that is not done then ends where it is."""
    connections: int = 512
    """Open connections; another is answered with 503."""

    def __post_init__(self) -> None:
        for item in fields(self):
            if getattr(self, item.name) <= 0:
                raise ConfigError(f"limits.{item.name}={getattr(self, item.name)} lets nothing through; choose above 0")
