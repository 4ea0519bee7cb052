"""The data sets that the presets of conf/tasks measure on, for what must keep away from them."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from omegaconf import OmegaConf

from prospero.configuration import composition, rewording
from prospero.data.records import RecordsConfig
from prospero.errors import ConfigError
from prospero.paths import config_dir

ALL = "all"


def evaluation_sets(tasks: Sequence[str]) -> dict[str, RecordsConfig]:
    """Return task -> where its records are, of the named presets, or with `all` of each that names a data set.

    Presets with the same records are one set, by the first name. ConfigError for a name that is no preset, or one
    whose items are made of something else.
    """
    names = sorted(path.stem for path in (config_dir() / "tasks").glob("*.yaml")) if ALL in tasks else list(tasks)
    words = [f"tasks=[{','.join(names)}]"]
    composition.register()
    with rewording.worded("evaluate", words):
        composed = composition.composed("evaluate", words)
    found: dict[str, RecordsConfig] = {}
    for name in names:
        records = _records(OmegaConf.to_container(composed.tasks[name]))
        if records is not None and records not in found.values():
            found[name] = records
        elif records is None and ALL not in tasks:
            raise ConfigError(
                f"tasks={name} names no data set: its items are made when it runs; choose others (hellaswag, gsm8k, "
                "...), all, or give the file in paths="
            )
    return found


def _records(task: Any) -> RecordsConfig | None:
    data = task.get("data")
    if not isinstance(data, dict) or set(data) != {item.name for item in fields(RecordsConfig)}:
        return None
    records = RecordsConfig(**data)
    return records if records.given else None
