"""The documents that embedded tasks are made of: of the standard library, what a run did not train on.

Models of this platform train on the standard library by default, so that a task made of it could ask for what was
learned by heart. Which documents a run held out is computed anew from the receipt of its data: the same cleaning,
de-duplication and split over the same files. A document that an example was cut from is trained on where the example
is. A model that began as another one (init_from) has seen what that one has seen. Where what a model has seen cannot be
told, the documents are those that the default split holds out, and the facts say that they may have been trained on.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from prospero import registry
from prospero.data.cleaning.pipeline import CleaningPipeline
from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.material import Entry, Examples, Material, Texts
from prospero.data.parts import DedupSettings
from prospero.data.receipt import read_receipt, settings_of
from prospero.data.sources.embedded_records import FILE
from prospero.data.sources.source import Source
from prospero.data.sources.stdlib import StdlibConfig, python_identity
from prospero.data.split import CorpusSize, HashSplitConfig
from prospero.errors import DataError

OF_DOCSTRINGS = "#docs"
"""The end of the ids of documents that hold a file's docstrings alone."""
OF_THE_LIBRARY = frozenset(
    f"{name}Config"
    for name in (
        "Stdlib",
        "StdlibDocs",
        "FunctionSummaries",
        "FunctionBodies",
        "Sessions",
        "Passages",
        "TokenPairs",
    )
)
"""Sources that give nothing but documents of the library, or examples cut from them."""
FEWEST = 10
"""Documents below which a run's own held-out text makes no task."""


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents, and what is known of them."""

    documents: Sequence[Document]
    """Files of the standard library by their names, and topics of the language reference."""
    facts: dict[str, Any]


def unseen_documents(prepared: Path | None, before: Sequence[Path | None] = ()) -> Documents:
    """Return what a model did not train on whose prepared data lie in the folder `prepared`; None: not known.

    `before` are those of the models that it was made from, one after another.
    """
    documents, seen, why = _library(), set[str](), None
    for folder in (*before, prepared):
        trained, description = _known_of(folder)
        if trained is None:
            why = why or description
        else:
            seen |= trained
    if why is None:
        unseen = [document for document in documents if document.id not in seen]
        if len(unseen) >= FEWEST:
            runs = "this run, and of those that it began from" if before else "this run"
            return Documents(unseen, _facts(unseen, f"held out from the data of {runs}"))
        why = f"{_known_of(prepared)[1]}, which held out {len(unseen)} of these documents"
    rule, size = HashSplitConfig().build(), CorpusSize()
    held_out = [one for one in documents if all(piece.split != "train" for piece in rule.pieces(one.text, 0, size))]
    return Documents(held_out, _facts(held_out, f"may have been trained on: {why}"))


def _known_of(prepared: Path | None) -> tuple[frozenset[str] | None, str]:
    """Return the documents of the library that one training has seen, None where they cannot be told, and on what."""
    if prepared is None:
        return None, "what the model was trained on is not known here"
    receipt = read_receipt(prepared)
    trained_on = receipt.get("source", {}).get("description", "other data")
    return _trained_on(prepared, receipt["fingerprint"]), f"the model was trained on {trained_on}"


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
    if settings.get("source", {}).get("class") not in OF_THE_LIBRARY:
        return None
    try:
        source = _part("data", settings["source"]).build()
        steps = {name: _part("cleaning", step).build() for name, step in settings["cleaning"]}
        dedup_settings, split = _part("dedup", settings["dedup"]), _part("split", settings["split"]).build()
        rendering = _part("rendering", settings["rendering"]).build() if "rendering" in settings else None
    except (DataError, LookupError, TypeError):  # of a version with other settings, or with parts of a plugin
        return None
    pipeline = CleaningPipeline(steps)
    material = Texts(pipeline) if rendering is None else Examples(pipeline, rendering)
    kept, makers, trained = list[Entry](), dict[str, set[str]](), set[str]()
    for document, entry, text in _read(source, material, dedup_settings):
        name = _file_of(document)
        if text is not None:
            if text is not entry.compared:
                trained.add(name)  # as the texts perhaps were that hold what it lost
                entry = material.shortened(entry, text)
            kept.append(entry)
            makers[entry.compared] = {name}
        elif entry.compared in makers:
            makers[entry.compared].add(name)  # trained on where its twin is
        else:
            trained.add(name)  # as its twin perhaps was
    size = CorpusSize(documents=len(kept), characters=sum(len(entry.content) for entry in kept))
    start, counted = 0, dict.fromkeys(receipt["splits"], 0)
    counted["train"] = (receipt.get("canaries") or {}).get("characters", 0)  # lines that no document holds
    for entry in kept:
        for piece in material.pieces(split, entry.content, start, size):
            counted[piece.split] = counted.get(piece.split, 0) + sum(map(len, material.texts(piece)))
            if piece.split == "train":
                trained |= makers[entry.compared]
        start += len(entry.content)
    if counted != {name: row["characters"] for name, row in receipt["splits"].items()}:
        return None  # the library of another Python
    return frozenset(trained)


def _read(source: Source, material: Material, settings: DedupSettings) -> Iterator[tuple[Document, Entry, str | None]]:
    """Yield each document that cleaning keeps, and what the de-duplication keeps of its text."""
    with tempfile.TemporaryDirectory(prefix="prospero-") as folder:
        dedup = settings.build(Path(folder))
        for document in source.documents():
            entry = material.read(document)
            if not isinstance(entry, Drop):
                yield document, entry, dedup.keep(entry.compared, dedup.sketch(entry.compared), document.id)
        dedup.close()


def _file_of(document: Document) -> str:
    """Return the id of the document of the library that a document or an example was made of."""
    return document.id.removesuffix(OF_DOCSTRINGS) if document.record is None else str(document.record[FILE])


def _part(group: str, settings: Mapping[str, Any]) -> Any:
    """Return the settings of a part as the receipt holds them; LookupError where no part of ours has such."""
    for name in registry.names(group):
        kind = registry.config_class(group, name)
        if kind.__name__ == settings["class"]:
            return settings_of(kind, settings)
    raise LookupError(settings["class"])
