"""Whether the items of an evaluation stand in the text that the model was trained on, wherever both are here."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from prospero.data.prepare import find_prepared
from prospero.evaluation.contamination import as_facts, contamination, item_texts, open_training_text
from prospero.evaluation.measurement import Measured


class Trained(Protocol):
    """A model that knows which data it was trained on, by their fingerprints."""

    @property
    def data_fingerprint(self) -> str | None:
        """Of its own training; None where it is not known."""
        ...

    @property
    def trained_before(self) -> list[str | None]:
        """Of the models that it was made from."""
        ...


def contaminations(
    found: Sequence[Measured], place: Trained, outputs_dir: str, results: Path, made_with: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """Return for each task what of its items stands in each training text of the model that is here.

    What an earlier call has left in `results`, of the same items and the same text, is taken from there.
    """
    asked = {one.name: texts for one in found if (texts := item_texts(one))}
    if not asked:
        return {}
    earlier = _earlier(results, made_with)
    checked: dict[str, list[dict[str, Any]]] = {name: [] for name in asked}
    for folder in _training_data(place, outputs_dir):
        data = open_training_text(folder)
        if data is None:
            continue
        for name, texts in asked.items():
            known = [facts for facts in earlier.get(name, []) if facts.get("data") == data.fingerprint]
            checked[name].append(known[0] if known else as_facts(contamination(texts, data), data))
    return {name: facts for name, facts in checked.items() if facts}


def _training_data(place: Trained, outputs_dir: str) -> list[Path]:
    """Return the folders of prepared data that the model, and those that it was made from, were trained on."""
    data = Path(outputs_dir, "data")
    folders = [find_prepared(data, fingerprint) for fingerprint in (*place.trained_before, place.data_fingerprint)]
    return list(dict.fromkeys(folder for folder in folders if folder is not None))


def _earlier(results: Path, made_with: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Return the facts in an earlier results.json about tasks that are the same; none where it cannot be read."""
    try:
        tasks = json.loads(results.read_text(encoding="utf-8"))["tasks"]
        same = {name: task for name, task in tasks.items() if task.get("made_with") == made_with.get(name)}
        return {name: task["contamination"] for name, task in same.items() if "contamination" in task}
    except (OSError, ValueError, KeyError, AttributeError):
        return {}  # of an earlier version, or none: it is computed again
