"""Captions: what the model says of pictures that it was not trained on, and what it says of the wrong ones.

The pictures are those of the run's own test split (or validation). Beside each number stands that of the blind control:
the same model, asked for the same caption, sees another picture of the split instead, drawn once. That is within what
the model knows, unlike an even grey, and what the control gets right, no picture is needed for.
`seen_` and `new_` tell apart captions that occur in training, in other pictures, and those that do not.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prospero.data.material import PICTURES
from prospero.data.prepare import PreparedData, open_prepared
from prospero.data.records import fingerprint
from prospero.data.shards import TokenShards
from prospero.data.side_file import SideFile
from prospero.data.sources.shapes import ATTRIBUTES, attributes
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject
from prospero.evaluation.metrics.text_base import TextSample
from prospero.evaluation.tasks.base import TaskFacts, text_metrics
from prospero.evaluation.tasks.generation import statistics_of_all
from prospero.evaluation.tasks.items import check_limit, chosen
from prospero.generation.generate import continuations
from prospero.generation.pictured import Pictured
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context
from prospero.plain import plain

NOTHING = (0.0, 0.0)


@dataclass(kw_only=True, slots=True)
class CaptionsTaskConfig:
    """What the model says of pictures of its own data that it was not trained on, with a blind control."""

    split: str | None = None
    """test or val; null: test where there is one."""
    decoding: SamplingConfig = field(default_factory=lambda: SamplingConfig(temperature=0.0, max_new_tokens=64))
    """How the model writes: the settings of the group `sampling`."""
    metrics: list[str] = field(default_factory=lambda: ["exact_match", "token_f1"])
    """Metrics of texts, by their names in the group `metrics`; those given with metrics=[...] are added."""
    blind: bool = True
    """Measure the control too, which sees another picture: blind_<metric>; twice the work."""
    limit: int | None = None
    """Pictures that are used, drawn by the seed; null: as the command says, or all."""

    def __post_init__(self) -> None:
        check_limit(self.limit)
        if self.split not in (None, "val", "test"):
            raise ConfigError(f"split={self.split} is none to measure on; choose test or val")

    def build(self, name: str, facts: TaskFacts) -> "Captions":
        """Return the task; DataError where the run's data are not here or have no pictures."""
        if facts.validation is None:
            raise DataError(
                f"tasks.{name}: the prepared data that the model was trained on are not here; prepare them again with "
                "the run's settings and outputs_dir (python prepare.py ...)"
            )
        prepared = open_prepared(facts.validation)
        split = self.split or ("test" if "test" in prepared.splits else "val")
        if split not in prepared.splits:
            raise DataError(f"tasks.{name}: {facts.validation} has no split '{split}'; choose split=val")
        if PICTURES not in prepared.side[split]:
            raise DataError(f"tasks.{name}: the data that the model was trained on have no pictures")
        return Captions(name, self, facts, prepared, split)


@dataclass(frozen=True, slots=True)
class Example:
    """A picture's text."""

    document: int
    prompt: str
    caption: str
    seen: bool
    """Whether the caption occurs in training."""


class Captions(Measurement):
    """Writes a caption for each picture, and one for another picture in its place."""

    def __init__(
        self, name: str, config: CaptionsTaskConfig, facts: TaskFacts, prepared: PreparedData, split: str
    ) -> None:
        self.name, self.config, self.split = name, config, split
        self.metrics = text_metrics(config.metrics, facts)
        self.tokenizer, shards = prepared.tokenizer, prepared.splits[split]
        self.pictures: SideFile = prepared.side[split][PICTURES]
        row = prepared.receipt["splits"][split]
        shards.verify(row["digest"])
        self.pictures.verify()
        known = {caption.tobytes() for _, caption in texts_of(prepared.splits["train"])}
        examples = [
            Example(place, _decoded(self.tokenizer, prompt), _decoded(self.tokenizer, ids), ids.tobytes() in known)
            for place, (prompt, ids) in enumerate(texts_of(shards))
        ]
        self.examples = chosen(examples, config.limit, facts)
        circle = random.Random("blind").sample(range(self.size), self.size)
        self.others = dict(zip(circle, circle[1:] + circle[:1]))
        """Item -> the item whose picture the control sees in its place."""
        self.grammar = prepared.receipt["source"]["name"] == "shapes"
        self.data = {"data": prepared.fingerprint, "split": split, "pictures": self.pictures.digest}

    @property
    def quantities(self) -> list[Quantity]:
        """The numbers of all metrics, those of the control, the first by novelty, and for shapes each attribute."""
        own = [quantity for metric in self.metrics for quantity in metric.quantities]
        found = list(own)
        for before in ("seen", "new") if own else ():
            found.append(_renamed(own[0], before))
        if self.config.blind:
            found += [_renamed(quantity, "blind") for quantity in own]
        return found + [Quantity(name=name) for name in (ATTRIBUTES if self.grammar else ())]

    @property
    def size(self) -> int:
        """How many pictures are captioned."""
        return len(self.examples)

    @property
    def facts(self) -> dict[str, Any]:
        """The settings, and which pictures of which data."""
        items = [[one.document, one.prompt, one.caption] for one in self.examples]
        return {"settings": plain(self.config), "fingerprint": fingerprint(items), **self.data}

    def item_text(self, record: Mapping[str, Any]) -> str:
        """None: which of its pictures were seen in training, it says itself."""
        return ""

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Write the captions of `items`, with and without the right picture, side by side."""
        if subject.tokenizer.fingerprint() != self.tokenizer.fingerprint():
            raise DataError(f"tasks.{self.name}: {subject.name} has another tokenizer than its data")
        turns = (False, True) if self.config.blind else (False,)
        jobs = [(item, blind) for item in items for blind in turns]
        written = continuations(
            subject.decoder,
            subject.tokenizer,
            iter([(place, self.shown(item, blind)) for place, (item, blind) in enumerate(jobs)]),
            self.config.decoding,
            batch_size=subject.rows,
            context=Context.slide,
        )
        texts = {jobs[place]: [one.text.strip() for one in completions] for place, completions in written}
        samples = [TextSample(predictions=texts[job], references=[self.examples[job[0]].caption]) for job in jobs]
        scores = dict(zip(jobs, statistics_of_all(self.metrics, samples)))
        for item in items:
            yield self._outcome(item, scores, texts)

    def shown(self, item: int, blind: bool) -> Pictured:
        """Return the prompt of an item after its picture, or after another's."""
        place = self.others[item] if blind else item
        return Pictured(self.examples[item].prompt, self.pictures.all[self.examples[place].document])

    def _outcome(self, item: int, scores: dict[Any, Any], texts: dict[Any, list[str]]) -> Outcome:
        example, found = self.examples[item], dict(scores[item, False])
        if found:
            first = self.metrics[0].quantities[0].name
            nothing = [0.0] * len(found[first])
            found |= {
                f"seen_{first}": found[first] if example.seen else nothing,
                f"new_{first}": nothing if example.seen else found[first],
            }
        prediction = texts[item, False][0]
        record = {"document": example.document, "prompt": example.prompt, "prediction": prediction}
        record |= {"references": [example.caption], "seen in training": example.seen}
        if self.config.blind:
            found |= {f"blind_{name}": row for name, row in scores[item, True].items()}
            record["with another picture"] = texts[item, True][0]
        if self.grammar:
            found |= agreement(prediction, example.caption)
        return Outcome(item, found, record)


def agreement(prediction: str, caption: str) -> dict[str, Sequence[float]]:
    """Return for each attribute of shapes whether a caption says it as it is; a text that is no sentence says none."""
    said, right = attributes(prediction) or {}, attributes(caption)
    if right is None:
        return dict.fromkeys(ATTRIBUTES, NOTHING)
    return {name: (float(said.get(name) == right[name]), 1.0) for name in ATTRIBUTES}


def texts_of(shards: TokenShards) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the ids of prompt and caption of each document, without the separator that ends it."""
    marks = shards.targets
    assert marks is not None, "data with pictures are examples"
    start = 1
    for end in shards.document_ends.tolist():
        ids, target = shards.tokens(start, end - 1), marks[start : end - 1]
        yield ids[~target], ids[target]
        start = end


def _decoded(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    return tokenizer.decode([int(id_) for id_ in ids])


def _renamed(quantity: Quantity, before: str) -> Quantity:
    """Return the same number, of other samples."""
    name = f"{before}_{quantity.name}"
    better = quantity.higher_is_better
    return Quantity(name=name, finish=quantity.finish, higher_is_better=better)
