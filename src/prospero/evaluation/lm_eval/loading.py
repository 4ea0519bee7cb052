"""Finds tasks of the harness by name or file and has it read them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager

from prospero.errors import ConfigError, DataError, suggest
from prospero.evaluation.lm_eval.measurement import HarnessMeasurement, HarnessTask
from prospero.plain import plain

if TYPE_CHECKING:
    from prospero.evaluation.tasks.lm_eval import LMEvalConfig

FILES = (".yaml", ".yml")
SEED = 1234
"""With which the harness draws examples, by its own default."""


def load(config: "LMEvalConfig", name: str, *, limit: int | None, seed: int) -> HarnessMeasurement:
    """Return the measurement of the tasks of `config`; `seed` is that of texts that are drawn.

    Raises ConfigError for a name that the harness does not know, DataError where its data cannot be read.
    """
    for task in config.tasks:
        if task.endswith(FILES) and not Path(task).is_file():
            raise ConfigError(f"tasks=[lm_eval:{task}]: there is no such file; give a task file or a name")
    if config.include_path is not None and not Path(config.include_path).is_dir():
        raise ConfigError(f"tasks.lm_eval.include_path={config.include_path} is no folder")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it says of every metric which defaults it takes
    by_name = [task for task in config.tasks if not task.endswith(FILES)]
    # Its index of fourteen thousand tasks takes seconds to read; files need none of it.
    manager = TaskManager(include_path=config.include_path, include_defaults=bool(by_name))
    for task in by_name:
        if task not in manager.task_index:
            raise ConfigError(f"lm_eval has no task '{task}'.{suggest(task, manager.all_tasks)}")
    found = {title: _checked(title, task, config) for title, task in _read(manager, config.tasks).items()}
    tasks = [HarnessTask(title, task, limit, SEED) for title, task in found.items()]
    return HarnessMeasurement(name, tasks, plain(config), seed)


def _read(manager: TaskManager, names: Sequence[str]) -> dict[str, Task]:
    try:
        return manager.load(list(names))["tasks"]
    except Exception as error:  # the harness and the functions of a task raise whatever they like
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"lm_eval cannot read tasks {', '.join(names)}: {type(error).__name__}: {reason}") from error


def _checked(name: str, task: Task, settings: "LMEvalConfig") -> Task:
    """Return the task, told how many examples it has; ConfigError for what is not done here."""
    config: Any = task.config
    if config.unsafe_code:
        raise ConfigError(f"lm_eval's task {name} runs the code that a model writes; take tasks=[code], which cages it")
    if config.doc_to_image or config.doc_to_audio:
        raise ConfigError(f"lm_eval's task {name} shows pictures or sounds, and these models read text")
    if settings.num_fewshot is not None:
        task.set_config(key="num_fewshot", value=settings.num_fewshot)
    return task
