"""`loss.distill`: which teacher, or which store of what one said, a run learns from."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.commands.init_from import remembered, resolve_source, runs_gone_on_with
from prospero.errors import ConfigError
from prospero.log import log
from prospero.processes import ranks
from prospero.training.settings import TrainConfig

if TYPE_CHECKING:
    from prospero.checkpoints.source import Source
    from prospero.training.distillation.teaching import Teaching

TEACHER, STORE = "loss.distill.teacher", "loss.distill.store"


def stores_dir(outputs_dir: str) -> Path:
    """Return the folder of what teachers said."""
    return Path(outputs_dir, "teachers")


def teaching_of(config: TrainConfig) -> "Teaching | None":
    """Return what the run learns from besides the text; None without `loss=distill`.

    Raises ConfigError or DataError, in one line, for what is neither a model nor a store.
    """
    from prospero.training.distillation.store import TeacherStore
    from prospero.training.distillation.teaching import Teaching, distillation

    loss = distillation(config)
    if loss is None:
        return None
    if loss.store is not None:
        store = TeacherStore.open(_store_folder(loss.store, config.outputs_dir), verify=ranks.is_rank_zero())
        log.info("teacher: stored in %s (the %d likeliest tokens)", store.folder, store.facts.top_k)
        return Teaching(store=store)
    assert loss.teacher is not None, "a teacher or a store"
    return Teaching(source=teacher_source(loss.teacher, config))


def teacher_source(given: str, config: TrainConfig) -> "Source":
    """Return where the teacher lies; a run that goes on keeps the one it began with, whatever `last` is by now."""
    from prospero.checkpoints.source import Source

    file = next((file for file in (run.teacher for run in runs_gone_on_with(config)) if file.is_file()), None)
    if file is not None:
        return remembered(file, given, TEACHER)
    place = resolve_source(given, config.outputs_dir, TEACHER)
    return Source.open(given, place, verify=ranks.is_rank_zero())


def _store_folder(given: str, outputs_dir: str) -> Path:
    places = (Path(given), stores_dir(outputs_dir) / given)
    found = next((place for place in places if os.path.isdir(place)), None)
    if found is None:
        raise ConfigError(
            f"{STORE}={given} is neither a folder nor the name of one in {places[1].parent}; prospero distill writes it"
        )
    return found
