"""`look`: one text under the glass, as a page that opens in any browser without a server."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.analysis.look.settings import Attributions
from prospero.errors import ConfigError, DataError

if TYPE_CHECKING:
    from prospero.commands.opening import ModelPlace

EXAMPLES = [
    ("prospero look run=last prompt='def main('", "the newest run reads a line"),
    ("prospero look run=gpt2_folder prompt_file=text.txt tokens=200 out=text.html", "a model of Hugging Face's"),
    ("prospero look run=last prompt='import os' attribution=gradient_x_input", "quicker"),
]


@dataclass(kw_only=True, slots=True)
class LookConfig:
    """Which model, which text, and where the page goes."""

    run: str = "last"
    """The model: last, a run's name, or a folder (of a run, a checkpoint, a model, or one of Hugging Face's)."""
    prompt: str | None = None
    """The text."""
    prompt_file: str | None = None
    """Read the text from this file (UTF-8) instead."""
    tokens: int = 128
    """A text of more tokens is refused: attention is drawn for every pair of them."""
    attribution: Attributions = Attributions.integrated_gradients
    """How it is told which tokens made one likely: integrated_gradients, gradient_x_input (quicker), or none."""
    steps: int = 128
    """Gradients at most for the integral of one token."""
    out: str | None = None
    """The page; without one it is <run folder>/analyses/look-<beginning of the text>-<mark>.html."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts the run was made with."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.prompt_file is None):
            given = "both are given" if self.prompt is not None else "neither is given"
            raise ConfigError(f"look reads one text, prompt='...' or prompt_file=FILE, and {given}")
        for name, least in (("tokens", 1), ("steps", 8)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{name}={value} must be at least {least}")
        for name in ("run", "prompt_file", "out", "outputs_dir"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")


def look(config: LookConfig) -> int:
    """Read the text with the model, write the page, and say where it is; return the exit code."""
    from prospero import log as logging_setup
    from prospero.analysis.look.glimpse import glimpse
    from prospero.analysis.look.page import look_page
    from prospero.commands.opening import ModelPlace
    from prospero.generation.decoder import evaluating
    from prospero.generation.engine import first_ids
    from prospero.log import log
    from prospero.paths import write_text
    from prospero.secret_values import scrub

    logging_setup.configure()
    text = _text(config)
    place = ModelPlace.find(config.run, config.outputs_dir)
    if place.tokenizer is None:
        raise ConfigError(f"{place.folder} has no tokenizer.json, so it reads no text; give the run's folder")
    ids = first_ids(place.tokenizer, text)
    if len(ids) > config.tokens:
        raise ConfigError(f"the text has {len(ids):,} tokens, and tokens={config.tokens}; give a shorter text, or more")
    path = _place(config, place, text)
    model, tokenizer, description = place.load()
    assert tokenizer is not None, "its description has one"
    if model.image_shape is None and len(ids) > model.max_seq_len:
        raise ConfigError(f"the text has {len(ids):,} tokens, and the model reads {model.max_seq_len} at once")
    with evaluating(model):
        seen = glimpse(model, tokenizer, ids, config.attribution, config.steps)
    facts = {
        "model": str(place.folder),
        "step": description["facts"].get("step"),
        "tokens": len(ids),
        "attribution": config.attribution.name,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, scrub(look_page(f"{place.name}: {_short(text)}", facts, seen, tokenizer)))
    except OSError as error:
        raise ConfigError(f"nothing can be written to {path} ({error.strerror}); give out=") from error
    log.info("look at %s", path)
    return 0


def _text(config: LookConfig) -> str:
    if config.prompt_file is None:
        text = config.prompt or ""
    else:
        try:
            text = Path(config.prompt_file).read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(f"prompt_file={config.prompt_file} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise DataError(f"prompt_file={config.prompt_file} is not UTF-8 at byte {error.start}") from error
    if not text:
        raise ConfigError("the text is empty; there is no token to look at")
    return text


def _place(config: LookConfig, place: "ModelPlace", text: str) -> Path:
    if config.out is not None:
        return Path(config.out)
    words = "_".join(re.findall(r"[A-Za-z0-9]+", text))[:40] or "text"
    mark = hashlib.sha256(f"{config.attribution.name} {place.source} {text}".encode()).hexdigest()[:8]
    folder = Path(config.outputs_dir, "analyses", place.name) if place.run is None else place.run.analyses
    return folder / f"look-{words}-{mark}.html"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:60]} ..."
