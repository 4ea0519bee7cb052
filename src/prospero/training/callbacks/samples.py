"""Text that the model writes while it learns: same prompts and draws each time, so that only the model changes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import ModelParallelStrategy

from prospero.errors import ConfigError
from prospero.log import log
from prospero.paths import write_text
from prospero.printable import printable_lines
from prospero.runs.folder import RunFolder
from prospero.training.callbacks.base import StepCallback
from prospero.training.gathered import reshard
from prospero.training.loggers import log_rows
from prospero.training.module import TrainingModule, training_module
from prospero.training.run_facts import RunFacts
from prospero.training.side_file import SideFile

_HEADING = re.compile(r"^## step (\d+)", re.MULTILINE)
_FENCE = "````"


@dataclass(kw_only=True, slots=True)
class SamplesConfig:
    """Continuations of fixed prompts, to samples.md and the loggers; how they are drawn is the group `sampling`."""

    every_steps: int = 250
    """Optimiser steps between samples; the end of the run always writes some."""
    prompts: list[str] = field(default_factory=lambda: ["", "The ", "def "])
    """What the model continues; the empty prompt begins a document."""
    max_new_tokens: int = 120
    """Length of each continuation, in tokens."""

    def __post_init__(self) -> None:
        if self.every_steps < 1 or self.max_new_tokens < 1:
            raise ConfigError("callbacks.samples: every_steps and max_new_tokens must be at least 1")
        if not self.prompts:
            raise ConfigError("callbacks.samples.prompts is empty; give at least one, or leave the callback out")

    def build(self, run: RunFacts) -> "Samples":
        """Return the callback, writing to `<run_dir>/samples.md`."""
        return Samples(self, run)


class Samples(StepCallback):
    """Writes samples; the random state of training is not touched."""

    def __init__(self, config: SamplesConfig, run: RunFacts) -> None:
        self.config = config
        self.run = run
        self.file = SideFile(RunFolder(run.run_dir).samples)
        self._written_at = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove what a run that is now resumed wrote after its checkpoint."""
        self._written_at = trainer.global_step
        if trainer.is_global_zero:
            forget_after(self.file.path, trainer.global_step)
            if training_module(pl_module).model.image_shape is not None:
                log.info(
                    "samples: none, for the model reads a picture before the text; tasks=[captions] shows captions"
                )

    def on_step_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Write samples when it is time."""
        if module.step % self.config.every_steps == 0:
            self.write(trainer, module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the last samples, unless this step has its own or the run is to be continued."""
        module = training_module(pl_module)
        if self._written_at != trainer.global_step and not module.state.stopping_to_resume:
            self.write(trainer, module)

    def write(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Generate and write; every rank takes part when the model is sharded, else rank 0 alone."""
        self._written_at = trainer.global_step
        if (
            module.model.image_shape is not None
            or self.run.tokenizer is None
            or not (is_sharded(trainer) or trainer.is_global_zero)
        ):
            return
        with module.state.pause(), writing(trainer):
            texts = self._generate(module.model)
            reshard(module.model)
            if trainer.is_global_zero:
                self._append(trainer, texts, module.state.tokens)

    def _generate(self, model: Any) -> list[str]:
        from prospero.generation.generate import generate
        from prospero.generation.sampling import SamplingConfig
        from prospero.generation.settings import Context

        tokenizer = self.run.tokenizer
        assert tokenizer is not None
        sampling = replace(self.run.sampling or SamplingConfig(), max_new_tokens=self.config.max_new_tokens, n=1)
        with torch.no_grad():
            completions = generate(model, tokenizer, self.config.prompts, sampling, context=Context.slide)
        return [completion.text for completion in completions]

    def _append(self, trainer: L.Trainer, texts: list[str], tokens: int) -> None:
        parts = []
        for prompt, text in zip(self.config.prompts, texts):
            heading = f"## step {trainer.global_step}, {tokens:,} tokens, prompt {prompt!r}"
            parts.append(f"\n{heading}\n\n{_FENCE}text\n{printable_lines(prompt + text)}\n{_FENCE}\n")
        self.file.append("".join(parts))
        step, prompts = trainer.global_step, self.config.prompts
        rows = [
            {"step": step, "tokens": tokens, "prompt": prompt, "text": text} for prompt, text in zip(prompts, texts)
        ]
        log_rows(trainer.loggers, "samples", rows, step)
        log.info(
            "step %d writes: %s", trainer.global_step, " ".join((self.config.prompts[-1] + texts[-1]).split())[:100]
        )


def is_sharded(trainer: L.Trainer) -> bool:
    """Whether all processes must make the same calls of the model."""
    return isinstance(trainer.strategy, ModelParallelStrategy)


@contextmanager
def writing(trainer: L.Trainer) -> Iterator[None]:
    """Let a run's model write: compiled blocks run as they are written, for texts change their length with each token.

    Blocks that FSDP2 gathers in bfloat16 compute under autocast alone, as they do in training.
    """
    stance = getattr(torch.compiler, "set_stance", None)
    numbers = trainer.precision_plugin.forward_context() if is_sharded(trainer) else nullcontext()
    with stance("force_eager") if stance is not None else nullcontext(), numbers:
        yield


def forget_after(file: Path, step: int) -> None:
    """Cut off what a file of sections, each `## step <number>...`, says of later steps."""
    if not file.is_file():
        return
    text = file.read_text(encoding="utf-8", errors="replace")
    stale = next((match.start() for match in _HEADING.finditer(text) if int(match[1]) > step), None)
    if stale is None:
        return
    try:
        write_text(file, text[:stale].rstrip("\n") + "\n" if text[:stale].strip() else "")
    except OSError as error:
        log.warning("%s still holds what was written after step %d (%s)", file.name, step, error.strerror or error)
