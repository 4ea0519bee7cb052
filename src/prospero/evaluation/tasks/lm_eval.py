"""Tasks of EleutherAI's lm-evaluation-harness, by name or by the task file: `tasks=[lm_eval:arc_easy]`."""

import importlib.util
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prospero.errors import ConfigError
from prospero.evaluation.tasks.base import TaskFacts

if TYPE_CHECKING:
    from prospero.evaluation.measurement import Measurement


@dataclass(kw_only=True, slots=True)
class LMEvalConfig:
    """Tasks of lm-evaluation-harness (Gao et al. 2021, doi:10.5281/zenodo.5371628)."""

    tasks: list[str] = field(default_factory=list)
    """Names of its tasks, groups and tags, or task files (.yaml); tasks=[lm_eval:NAME] is short for tasks=[lm_eval]
    tasks.lm_eval.tasks=[NAME]. A task file may name Python functions beside it, which then run."""
    include_path: str | None = None
    """A folder with further task files, whose tasks are then known by name."""
    num_fewshot: int | None = None
    """Examples before each question; null: what each task says."""
    limit: int | None = None
    """Documents of each task at most; null: as the evaluation says."""

    def __post_init__(self) -> None:
        if any(not task.strip() for task in self.tasks):
            raise ConfigError("tasks.lm_eval.tasks holds an empty name; leave it out")
        if self.num_fewshot is not None and self.num_fewshot < 0:
            raise ConfigError(f"num_fewshot={self.num_fewshot} is impossible; choose 0 or more")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit={self.limit} measures nothing; choose at least 1, or null for all")

    def build(self, name: str, facts: TaskFacts) -> "Measurement":
        """Return the tasks as one measurement; ConfigError where the harness is missing or knows none of that name."""
        if not self.tasks:
            raise ConfigError("tasks=[lm_eval] names no task of the harness; write tasks=[lm_eval:arc_easy]")
        if importlib.util.find_spec("lm_eval") is None:
            raise ConfigError("tasks=[lm_eval:...] needs lm-evaluation-harness: pip install 'prospero[lm_eval]'")
        from prospero.evaluation.lm_eval.loading import load

        limit = facts.limit if self.limit is None else self.limit
        return load(self, name, limit=limit, seed=facts.seed)
