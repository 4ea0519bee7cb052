"""The documents that embedded tasks are made of: of the standard library, what a run did not train on.

Models of this platform train on the standard library by default, so that a task made of it could ask for what was
learned by heart. Which documents a run held out is computed anew from the receipt of its data: the same cleaning,
de-duplication and split over the same files. Where that cannot be done, the documents are those that the default split
holds out, and the facts say that they may have been trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from prospero import registry
from prospero.data.cleaning.pipeline import CleaningPipeline
from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.receipt import read_receipt
from prospero.data.sources.stdlib import StdlibConfig, python_identity
from prospero.data.split import CorpusSize, HashSplitConfig
from prospero.errors import DataError
from prospero.plain import from_plain

OF_DOCSTRINGS = "#docs"
"""The end of the ids of documents that hold a file's docstrings alone."""
FEWEST = 10
"""Documents below which a run's own held-out text makes no task."""


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents, and what is known of them."""

    documents: Sequence[Document]
    """Files of the standard library by their names, and topics of the language reference."""
    facts: dict[str, Any]


def unseen_documents(prepared: Path | None) -> Documents:
    """Return what a run did not train on whose prepared data lie in the folder `prepared`; None: not known."""
    documents, trained, why = _library(), None, "what the model was trained on is not known here"
    if prepared is not None:
        receipt = read_receipt(prepared)
        trained = _trained_on(prepared, receipt["fingerprint"])
        why = f"the model was trained on {receipt.get('source', {}).get('description', 'other data')}"
    if trained is not None:
        unseen = [document for document in documents if document.id not in trained]
        if len(unseen) >= FEWEST:
            return Documents(unseen, _facts(unseen, "held out from the data of this run"))
        why += f", which held out {len(unseen)} of these documents"
    rule, size = HashSplitConfig().build(), CorpusSize()
    held_out = [one for one in documents if all(piece.split != "train" for piece in rule.pieces(one.text, 0, size))]
    return Documents(held_out, _facts(held_out, f"may have been trained on: {why}"))


def _facts(documents: Sequence[Document], contamination: str) -> dict[str, Any]:
    made_of = f"{len(documents)} documents of the standard library"
    return {"records": made_of, "contamination": contamination, **python_identity()}


@lru_cache(maxsize=1)
def _library() -> tuple[Document, ...]:
    return tuple(StdlibConfig().build().documents())


@lru_cache(maxsize=4)
def _trained_on(prepared: Path, fingerprint: str) -> frozenset[str] | None:
    """Return the ids of the documents in the training text, `#docs` left out; None where they cannot be told."""
    receipt = read_receipt(prepared)
    settings = receipt.get("settings", {})
    if settings.get("source", {}).get("class") not in ("StdlibConfig", "StdlibDocsConfig"):
        return None
    try:
        source = _part("data", settings["source"]).build()
        steps = {name: _part("cleaning", step).build() for name, step in settings["cleaning"]}
        dedup, split = _part("dedup", settings["dedup"]).build(), _part("split", settings["split"]).build()
    except (DataError, LookupError, TypeError):  # of a version with other settings, or with parts of a plugin
        return None
    pipeline, kept, trained = CleaningPipeline(steps), [], set()
    for document in source.documents():
        cleaned = pipeline(document)
        if isinstance(cleaned, Drop):
            continue
        if dedup.is_duplicate(cleaned.text):
            trained.add(document.id)  # as its twin perhaps was
        else:
            kept.append(cleaned)
    size = CorpusSize(documents=len(kept), characters=sum(len(document.text) for document in kept))
    start, counted = 0, dict.fromkeys(receipt["splits"], 0)
    for document in kept:
        for piece in split.pieces(document.text, start, size):
            counted[piece.split] = counted.get(piece.split, 0) + len(piece.text)
            if piece.split == "train":
                trained.add(document.id)
        start += len(document.text)
    if counted != {name: row["characters"] for name, row in receipt["splits"].items()}:
        return None  # the library of another Python
    return frozenset(name.removesuffix(OF_DOCSTRINGS) for name in trained)


def _part(group: str, settings: Mapping[str, Any]) -> Any:
    """Return the settings of a part as the receipt holds them; LookupError where no part of ours has such."""
    values = {name: value for name, value in settings.items() if name != "class"}
    for name in registry.names(group):
        kind = registry.config_class(group, name)
        if kind.__name__ == settings["class"]:
            return from_plain(kind, values)
    raise LookupError(settings["class"])
