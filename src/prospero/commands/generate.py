"""`generate`: write text with the model of a run, streamed to the screen."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.data.parts import MISSING
from prospero.errors import ConfigError
from prospero.runs import find as find_run
from prospero.training.parts import SamplingSettings

if TYPE_CHECKING:
    from prospero.model.base import LanguageModel

EXAMPLES = [
    ("python generate.py run=last prompt='The import statement'", "the newest run"),
    ("python generate.py run=first prompt='def ' sampling.temperature=0", "a run by its name, greedily"),
    ("python generate.py run=outputs/a prompt='ROMEO:' sampling.top_k=20 sampling.seed=2", "a folder"),
]


@dataclass(kw_only=True, slots=True)
class GenerateConfig:
    """Which run, which prompt, and how to draw the tokens."""

    sampling: SamplingSettings = MISSING
    """How the next token is drawn."""
    run: str = "last"
    """The run: last, a name, or a folder: of a run, a checkpoint or a model."""
    prompt: str = ""
    """The beginning of the text; without one the model starts a document of its own."""
    prompt_file: str | None = None
    """Read the prompt from this file (UTF-8) instead."""
    samples: int = 1
    """Texts to write; text k is drawn with sampling.seed + k."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts the run was made with."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "outputs_dir", "prompt_file"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        if self.samples < 1:
            raise ConfigError(f"samples={self.samples} writes nothing; give 1 or more")


def generate(config: GenerateConfig) -> int:
    """Load the run's model and stream each text to standard output; facts about it go to standard error."""
    import time

    from prospero import log as logging_setup
    from prospero.checkpoints.model_folder import load_model
    from prospero.generation.generate import stream
    from prospero.log import log
    from prospero.printable import printable_lines

    logging_setup.configure()
    prompt = _prompt(config)
    place = Path(config.run) if os.path.isfile(config.run) else find_run.find(config.run, config.outputs_dir)
    model, tokenizer, description = load_model(place)
    if tokenizer is None:
        raise ConfigError(f"{place} has no tokenizer.json, so it cannot write text; give the run's folder")
    log.info(
        "run: %s (%s, %s)", place, description["model"]["name"], description["facts"].get("checkpoint", "checkpoint")
    )
    _say_what_is_cut(model, len(tokenizer.encode(prompt)))
    for number in range(config.samples):
        sampling = replace(config.sampling, seed=config.sampling.seed + number)
        if config.samples > 1:
            print(f"--- {number + 1} of {config.samples} (sampling.seed={sampling.seed})")
        start, tokens = time.perf_counter(), 0
        print(printable_lines(prompt), end="", flush=True)
        for text in stream(model, tokenizer, prompt, sampling):
            tokens += 1
            print(printable_lines(text), end="", flush=True)
        print()
        log.info("%d pieces, %.0f a second", tokens, tokens / max(time.perf_counter() - start, 1e-9))
    return 0


def _say_what_is_cut(model: "LanguageModel", tokens: int) -> None:
    """Say when a prompt is longer than what the model reads at once (a recurrent one reads any length)."""
    from prospero.log import log

    window = model.new_cache(1, model.max_seq_len)
    if window.bounded and tokens > window.max_len:
        log.warning(
            "the prompt has %s tokens and the model reads %s at once: only the last of them count",
            f"{tokens:,}",
            f"{window.max_len:,}",
        )


def _prompt(config: GenerateConfig) -> str:
    if config.prompt_file is None:
        return config.prompt
    if config.prompt:
        raise ConfigError("Give prompt= or prompt_file=, not both")
    try:
        return Path(config.prompt_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompt_file={config.prompt_file} cannot be read: {error}") from error
