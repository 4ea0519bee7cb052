"""`train_filter`: a linear classifier of good and bad text, for cleaning=[score], measured on texts held out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.data.parts import CleaningSettings
from prospero.data.text_filter import FeaturesConfig
from prospero.errors import ConfigError, DataError

if TYPE_CHECKING:
    from prospero.data.text_filter import HeldOut

EXAMPLES = [
    ("prospero train filter good='books/*.txt' bad=pages.jsonl out=books.safetensors", "files, folders, globs"),
    (
        "prospero train filter good=books bad=pages.jsonl cleaning=prose",
        "cleaned first; prospero prepare cleaning=[score] cleaning.score.filter=filter.safetensors then uses it",
    ),
]


@dataclass(kw_only=True, slots=True)
class TrainFilterConfig:
    """Which texts are good and which are bad, and what the filter reads of them."""

    good: str = ""
    """Texts to keep: a file, a folder or a glob, a document a row of jsonl, csv or parquet, or a file of text."""
    bad: str = ""
    """Texts to drop, likewise."""
    out: str = "filter.safetensors"
    """The file of the filter; it must not be there yet."""
    text_field: str = "text"
    """The field or column that holds the text (json, jsonl, csv, tsv, parquet)."""
    cleaning: dict[str, CleaningSettings] = field(default_factory=dict)
    """Cleaning steps for both, in their order; best those that stand before `score` when the filter is used."""
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    """Which n-grams are read."""
    l2: float = 1e-5
    """Weight of the penalty on the weights."""
    held_out: float = 0.2
    """Share of the texts that measure the filter and do not train it, chosen by a hash of the text."""
    max_documents: int = 5000
    """Of each kind, drawn by the seed where there are more; training holds up to 50 kB for each."""
    seed: int = 0
    """Decides which documents are drawn."""
    outputs_dir: str = "outputs"
    """Folder of the program's outputs; the filter is written to `out`, wherever that is."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts; imported before anything is composed."""
    traceback: bool = False
    """Show the full traceback of an error (`debug=traceback` sets it)."""

    def __post_init__(self) -> None:
        if self.l2 <= 0:
            raise ConfigError(f"l2={self.l2} must be above 0, or the best weights of texts that differ are infinite")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out={self.held_out} must lie between 0 and 1")
        if self.max_documents < 2:
            raise ConfigError(f"max_documents={self.max_documents}: one to train on and one to measure with at least")


def train_filter(config: TrainFilterConfig) -> int:
    """Train, measure and write a filter, and print its precision and recall; return the exit code."""
    from dataclasses import replace

    from prospero import log as logging_setup
    from prospero.data.text_filter import held_out
    from prospero.data.text_filter import train_filter as fit
    from prospero.interop.output import check_free, new_file
    from prospero.log import log

    logging_setup.configure()
    for name in ("good", "bad", "out"):
        if not getattr(config, name).strip():
            raise ConfigError(f"{name}= is empty; give {'a file' if name == 'out' else 'a file, a folder or a glob'}")
    out = Path(config.out).expanduser()
    check_free(out)
    texts = {name: _texts(config, name) for name in ("good", "bad")}
    if both := texts["good"].keys() & texts["bad"].keys():
        raise DataError(f"{len(both)} texts are in good= and in bad=, such as {min(both)!r:.80}; take them out of one")
    parts = {name: _split(list(found), name, config.held_out) for name, found in texts.items()}
    log.info("Training on %d good and %d bad texts.", len(parts["good"][0]), len(parts["bad"][0]))
    made = fit(parts["good"][0], parts["bad"][0], config.features, l2=config.l2)
    measured = _facts(held_out(made, parts["good"][1], parts["bad"][1]))
    trained = {"good": len(parts["good"][0]), "bad": len(parts["bad"][0]), "cleaning": list(config.cleaning)}
    with new_file(out) as file:
        replace(made, facts={"trained_on": trained, "held_out": measured}).save(file)
    for line in shown(measured):
        print(line)
    log.info("%s: cleaning=[score] cleaning.score.filter=%s uses it", out, out)
    return 0


def _texts(config: TrainFilterConfig, name: str) -> dict[str, None]:
    """Return the different cleaned texts of one kind, in their order."""
    from prospero.data.cleaning.pipeline import CleaningPipeline
    from prospero.data.cleaning.step import Drop
    from prospero.data.inspection import Sample
    from prospero.data.sources.files import FilesConfig

    pipeline = CleaningPipeline({step: settings.build() for step, settings in config.cleaning.items()})
    sample = Sample[str](config.max_documents, config.seed)
    try:
        source = FilesConfig(path=getattr(config, name), text_field=config.text_field).build()
        for document in source.documents():
            cleaned = pipeline(document)
            if not isinstance(cleaned, Drop):
                sample.offer(lambda text=cleaned.text: text)
    except (ConfigError, DataError) as error:
        raise type(error)(
            str(error).replace("data.path=", f"{name}=").replace("data.text_field", "text_field")
        ) from error
    return dict.fromkeys(sample.items)


def _split(texts: Sequence[str], name: str, share: float) -> tuple[list[str], list[str]]:
    """Return the texts to train on and those held out; DataError where one of them would be empty."""
    from hashlib import blake2b

    parts: tuple[list[str], list[str]] = ([], [])
    for text in texts:
        drawn = int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64
        parts[drawn < share].append(text)
    if not all(parts):
        raise DataError(f"{name}= has {len(texts)} different texts: too few to train a filter and to measure it")
    return parts


def _facts(found: "HeldOut") -> dict[str, Any]:
    """Return precision and recall of good text at a probability of 0.5, with their 95 % intervals."""
    import numpy as np

    from prospero.evaluation.measurement import mean
    from prospero.evaluation.statistics.bootstrap import interval

    facts: dict[str, Any] = {"good": len(found.of_good), "bad": len(found.of_bad)}
    for name, right in (("precision", found.judged_good(0.5)), ("recall", found.found(0.5))):
        rows = np.stack([right, np.ones(len(right))], axis=1)
        facts[name] = float(right.mean()) if len(right) else None
        facts[f"{name}_interval"] = list(interval(rows, mean)) if len(right) > 1 else None
    return facts


def shown(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was measured, for the screen."""
    yield f"held out   {facts['good']:,} good and {facts['bad']:,} bad texts"
    for name, meaning in (
        ("precision", "of those judged good are good"),
        ("recall", "of the good are judged good"),
    ):
        if facts[name] is None:
            yield f"{name:<10} none was judged good"
            continue
        ends = facts[f"{name}_interval"]
        spread = f" ({ends[0]:.1%} to {ends[1]:.1%})" if ends else ""
        yield f"{name:<10} {facts[name]:.1%}{spread} {meaning}"
