"""The triples that a model was trained with, found again by the receipt of its prepared data."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from prospero.data.receipt import read_receipt, settings_of
from prospero.data.sources.triples import KnowledgeBase, TriplesConfig
from prospero.errors import ConfigError, DataError


@lru_cache(maxsize=2)
def knowledge_of(prepared: Path | None, instead: str) -> KnowledgeBase:
    """Return the triples of the data in the folder `prepared`; ConfigError, with what to do `instead`, without any.

    Raises DataError when they are not what they were: the file has changed, or another Python runs.
    """
    if prepared is None:
        raise ConfigError(f"the model's prepared data are not here, so its triples are not known; {instead}")
    receipt = read_receipt(prepared)
    source, settings = receipt.get("source", {}), receipt.get("settings", {}).get("source", {})
    if settings.get("class") != TriplesConfig.__name__:
        said = source.get("description", "other data")
        raise ConfigError(f"the model was trained on {said}, not on triples (data=triples); {instead}")
    return _opened(settings, source.get("description", ""), instead)


def _opened(settings: dict[str, Any], description: str, instead: str) -> KnowledgeBase:
    config = settings_of(TriplesConfig, settings)
    found = config.build()
    if found.describe() != description:
        raise DataError(
            f"the triples are other ones than the model was trained with: {found.describe()} here, {description} then "
            f"(a changed file, or another Python); {instead}"
        )
    return found.knowledge()
