"""Texts that a model writes, to be looked through: settings, prompts, and the writing itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from prospero.errors import ConfigError
from prospero.evaluation.measurement import Subject
from prospero.generation.generate import continuations
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context


@dataclass(kw_only=True, slots=True)
class WritingConfig:
    """What the settings of all analyses of written text begin with."""

    prompts: list[str] = field(default_factory=lambda: [""])
    """What the model continues, in turn; an empty one begins a document."""
    texts: int | None = None
    """How many texts it writes; null: as the command's limit says, or 100, inside training 16."""
    decoding: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(temperature=1.0, top_p=1.0, max_new_tokens=128)
    )
    """How it writes: the settings of the group `sampling`; the model's own distribution unless changed."""

    def __post_init__(self) -> None:
        if not self.prompts:
            raise ConfigError("prompts=[] leaves nothing to continue; give one, which may be empty")
        if self.texts is not None and self.texts < 1:
            raise ConfigError(f"texts={self.texts} writes nothing; give 1 or more")
        if self.decoding.n != 1:
            raise ConfigError(f"decoding.n={self.decoding.n}: give the number of texts with texts=, and leave n at 1")

    def count(self, limit: int | None, *, training: bool) -> int:
        """Return how many texts are written."""
        return self.texts or limit or (16 if training else 100)


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote after a prompt."""

    prompt: str
    text: str
    tokens: int


def write(subject: Subject, config: WritingConfig, items: Sequence[int]) -> list[Written]:
    """Return text number `item` of each of `items`: it depends on the model, the settings and the number alone."""
    prompts = {item: config.prompts[item % len(config.prompts)] for item in items}
    found = {
        item: completions[0]
        for item, completions in continuations(
            subject.decoder,
            subject.tokenizer,
            iter(prompts.items()),
            config.decoding,
            batch_size=subject.rows,
            context=Context.slide,
        )
    }
    return [Written(prompts[item], found[item].text, len(found[item].ids)) for item in items]
