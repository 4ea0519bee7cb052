"""What the model has written for its prompts while it learns from rewards, and what each text was rewarded with."""

from dataclasses import dataclass

import lightning as L

from prospero.errors import ConfigError
from prospero.printable import printable_lines
from prospero.runs.folder import RunFolder
from prospero.training.callbacks.base import StepCallback
from prospero.training.callbacks.samples import forget_after
from prospero.training.loggers import log_table
from prospero.training.module import TrainingModule
from prospero.training.rollouts.maker import RolloutMaker
from prospero.training.run_facts import RunFacts
from prospero.training.side_file import SideFile

_FENCE = "````"


@dataclass(kw_only=True, slots=True)
class RolloutSamplesConfig:
    """Completions of rollouts with their rewards, to rollouts.md and the loggers (loss=grpo)."""

    every_steps: int = 50
    """Optimiser steps between samples."""
    texts: int = 8
    """Completions that are shown: the first ones, those of a prompt side by side."""

    def __post_init__(self) -> None:
        if self.every_steps < 1 or self.texts < 1:
            raise ConfigError("callbacks.rollouts: every_steps and texts must be at least 1")

    def build(self, run: RunFacts) -> "RolloutSamples":
        """Return the callback, which writes `<run_dir>/rollouts.md`."""
        return RolloutSamples(self, run)


class RolloutSamples(StepCallback):
    """Shows what was drawn last."""

    def __init__(self, config: RolloutSamplesConfig, run: RunFacts) -> None:
        self.config = config
        self.file = SideFile(RunFolder(run.run_dir).rollouts)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove what a run that is now resumed wrote after its checkpoint."""
        if trainer.is_global_zero:
            forget_after(self.file.path, trainer.global_step)

    def on_step_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Write samples when it is time."""
        maker = module.maker
        if module.step % self.config.every_steps or not trainer.is_global_zero or not isinstance(maker, RolloutMaker):
            return
        rows = [
            {
                "prompt": record["prompt"],
                "completion": text,
                **{name: f"{value:.4g}" for name, value in rewards.items()},
            }
            for record, text, rewards in maker.texts[: self.config.texts]
        ]
        if rows:
            self.file.append("".join(_section(module.step, row) for row in rows))
            log_table(trainer.loggers, "rollouts", rows, module.step)


def _section(step: int, row: dict[str, str]) -> str:
    """Return a section of rollouts.md."""
    rewards = ", ".join(f"{name} {value}" for name, value in row.items() if name not in ("prompt", "completion"))
    text = printable_lines(row["prompt"] + row["completion"]).replace(_FENCE, "'" * 4)
    return f"\n## step {step}, {rewards}, prompt {row['prompt']!r}\n\n{_FENCE}text\n{text}\n{_FENCE}\n"
