"""`prefer`: pairs of a better and a worse answer, both a model's own, ranked by a metric; data for loss=dpo.

The answers are written to a file beside `out`, prompt by prompt, so that a job that was killed goes on where it
stopped; when all are there, they are ranked, which takes no time, and the pairs appear as a whole.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.data.parts import MISSING, SourceSettings, SplitSettings
from prospero.errors import ConfigError, DataError
from prospero.evaluation.ranking import Better
from prospero.generation.settings import Precision
from prospero.training.parts import MetricSettings, SamplingSettings

if TYPE_CHECKING:
    from prospero.evaluation.ranking import Ranker
    from prospero.generation.batch_file import Prompt, TextsFile

EXAMPLES = [
    ("prospero prefer run=last data.path=prompts.jsonl by=repetition sampling.n=4", "the answer that repeats least"),
    (
        "prospero prefer run=last data=function_summaries 'prompt={source}' 'reference={summary}' 'metrics=[rouge]' "
        "by=rouge_l",
        "nearest to a reference",
    ),
    (
        "python train.py init_from=last data=examples data.path=pairs.jsonl rendering=preferences packing=pairs "
        "loss=dpo cleaning=none model.document_attention=true",
        "then learn from them",
    ),
]


@dataclass(kw_only=True, slots=True)
class PreferConfig:
    """Which model answers which prompts, and what makes an answer the better one."""

    data: SourceSettings = MISSING
    """Where the prompts come from: examples, or another source of records."""
    split: SplitSettings = MISSING
    """How the records are shared out; those of the training part alone are asked, so that the others stay held out."""
    sampling: SamplingSettings = MISSING
    """How answers are drawn; sampling.n of them for each prompt, 2 or more."""
    metrics: dict[str, MetricSettings] = field(default_factory=dict)
    """Metrics of written texts, of which `by` names a number."""
    prompt: str = "{prompt}"
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces."""
    reference: str | None = None
    """A right answer, likewise, for metrics that compare with one."""
    by: str | None = None
    """The number that ranks the answers: one of the metrics' (rouge_l, exact_match, parses, ...), or length in
    characters; null: the only one there is."""
    better: Better = Better.auto
    """Which end is the better one, higher or lower; auto: as the metric says."""
    margin: float = 0.0
    """How much better the chosen answer must be, 0 or more; at most that much is a tie, which gives no pair."""
    finished: bool = False
    """Take only answers that the model ended itself (by the separator or a stop text), not those cut off."""
    limit: int = 200
    """Prompts that are asked at most: those whose hash is the smallest."""
    run: str = "last"
    """The model: last, a run's name, or a folder (of a run, a checkpoint, a model, or one of Hugging Face's)."""
    out: str = "pairs.jsonl"
    """The JSONL file of pairs: prompt, chosen, rejected and their scores; a receipt and all answers lie beside it."""
    batch_size: int = 16
    """Texts written side by side; they do not depend on it."""
    precision: Precision = Precision.float32
    """Weights as float32, bf16 or int8."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "out", "outputs_dir", "prompt"):
            if not getattr(self, name).strip():
                raise ConfigError(f"{name}= is empty; give it, or leave it out")
        for name in ("limit", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} asks nothing; give 1 or more")
        if not 0 <= self.margin < float("inf"):
            raise ConfigError(f"margin={self.margin} is no difference; give 0 or more")
        if self.sampling.n < 2:
            raise ConfigError(f"sampling.n={self.sampling.n} answers make no pair; give 2 or more")
        if self.precision is Precision.auto:
            raise ConfigError(
                "precision=auto chooses by the clock, and pairs are to be the same again: float32 or bf16"
            )


def prefer(config: PreferConfig) -> int:
    """Ask, rank and write; return the exit code."""
    from prospero import log as logging_setup
    from prospero.commands.opening import ModelPlace, OpenModel
    from prospero.log import log

    logging_setup.configure()
    ranker, skipped = _ranker(config), Counter[str]()
    prompts = list(_prompts(config, skipped))
    place = ModelPlace.find(config.run, config.outputs_dir)
    model, tokenizer, description = place.load()
    if tokenizer is None:
        raise ConfigError(f"{place.folder} has no tokenizer.json, so it cannot write text; give the run's folder")
    opened = OpenModel(model, tokenizer, description)
    decoder = opened.decoder(config.precision, rows=config.batch_size, outputs_dir=config.outputs_dir)
    if decoder.window is not None:  # a recurrent model reads texts of any length
        prompts = _fitting(prompts, tokenizer, decoder.window - config.sampling.max_new_tokens, skipped)
    mark = opened.mark(config.precision)
    texts = _answered(config, prompts, decoder, tokenizer, mark)
    pairs = list(_pairs(config, prompts, texts, ranker, skipped))
    _write(config, pairs, {"asked": len(prompts), "pairs": len(pairs), "no_pair": dict(skipped)}, texts.made_with)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())
    log.info(
        "%s: %s pairs of %s prompts%s",
        config.out,
        f"{len(pairs):,}",
        f"{len(prompts):,}",
        f" ({reasons})" * bool(reasons),
    )
    if not pairs:
        raise DataError(
            f"no prompt gave a pair ({reasons}); draw more answers (sampling.n), or rank them otherwise (by=)"
        )
    return 0


def _ranker(config: PreferConfig) -> "Ranker":
    from prospero.evaluation.metrics.collection import text_metrics_of
    from prospero.evaluation.ranking import Ranker

    built = text_metrics_of(config.metrics, config.outputs_dir)
    for name in config.metrics.keys() - built.keys():
        raise ConfigError(f"metrics=[{name}] measures tokens of a given text, not written answers; leave it out")
    references = config.reference is not None
    return Ranker(list(built.values()), config.by, config.better, margin=config.margin, references=references)


def _prompts(config: PreferConfig, skipped: "Counter[str]") -> "Iterator[Prompt]":
    """Yield the prompts of the training part that are asked, each once."""
    from prospero.data.embedded.places import place_of
    from prospero.data.records import Record
    from prospero.data.split import CorpusSize
    from prospero.data.template import Template
    from prospero.generation.batch_file import Prompt

    asked = Template(config.prompt, "prompt")
    right = None if config.reference is None else Template(config.reference, "reference")
    found: dict[str, tuple[str, list[str]]] = {}
    for document in config.data.build().documents():
        if document.record is None:
            raise DataError(
                f"{document.id} is a text, not a record; choose data=examples, or another source of records"
            )
        record = Record(document.id, document.record)
        text = asked.fill({name: record.text(name) for name in asked.fields})
        references = [] if right is None else [right.fill({name: record.text(name) for name in right.fields})]
        if not text.strip():
            skipped["empty prompts"] += 1
        elif text in found:
            skipped["repeated prompts"] += 1
        else:
            found[text] = (document.key or text, references)
    size, start, training = CorpusSize(len(found), sum(map(len, found))), 0, []
    rule = config.split.build()
    for text, (key, references) in found.items():
        piece = next(iter(rule.pieces(key, start, size)))
        start += len(text)
        if piece.split == "train":
            training.append(Prompt(text, {"references": references} if references else {}))
    if not training:
        raise DataError(f"{config.data.build().describe()} gave no prompt of the training part")
    yield from sorted(training, key=lambda prompt: place_of(prompt.text))[: config.limit]


def _fitting(prompts: "list[Prompt]", tokenizer: Any, room: int, skipped: "Counter[str]") -> "list[Prompt]":
    """Return the prompts that leave room for an answer."""
    from prospero.generation.engine import first_ids

    kept = [prompt for prompt in prompts if len(first_ids(tokenizer, prompt.text)) <= room]
    if len(kept) < len(prompts):
        skipped["too long a prompt"] = len(prompts) - len(kept)
    if not kept:
        raise DataError(f"no prompt leaves room for an answer: {max(room, 0)} tokens; lower sampling.max_new_tokens")
    return kept


def _answered(
    config: PreferConfig, prompts: "list[Prompt]", decoder: Any, tokenizer: Any, mark: list[Any]
) -> "TextsFile":
    """Write the answers that are not there yet, and return their file."""
    from prospero.generation.batch_file import TextsFile, settings_mark
    from prospero.generation.generate import continuations
    from prospero.log import log
    from prospero.plain import plain

    file = TextsFile(answers_file(config), prompts, config.sampling.n, settings_mark(mark, plain(config.sampling)))
    if file.done:
        log.info("%s holds the answers to %s prompts already", file.path, f"{file.done:,}")
    jobs = ((number, prompts[number].text) for number in range(file.done, len(prompts)))
    written = continuations(decoder, tokenizer, jobs, config.sampling, batch_size=config.batch_size)
    file.write(written)
    return file


def answers_file(config: PreferConfig) -> Path:
    """Return where all answers lie, those of no pair too."""
    return Path(config.out).with_suffix(".answers.jsonl")


def _pairs(
    config: PreferConfig, prompts: "list[Prompt]", texts: "TextsFile", ranker: "Ranker", skipped: "Counter[str]"
) -> Iterator[dict[str, Any]]:
    """Yield the pair of each prompt that has one; the others are counted by their reason."""
    with open(texts.path, encoding="utf-8") as lines:
        for number, prompt in enumerate(prompts):
            rows = [json.loads(next(lines)) for _ in range(config.sampling.n)]
            answers = [row["text"] for row in rows if row["ended_by"] != "length" or not config.finished]
            pair = ranker.pair(answers, prompt.text, prompt.fields.get("references", []))
            if isinstance(pair, str):
                skipped[pair] += 1
                continue
            yield {
                "prompt": prompt.text,
                "chosen": answers[pair.chosen],
                "rejected": answers[pair.rejected],
                "chosen_score": pair.chosen_score,
                "rejected_score": pair.rejected_score,
                "by": ranker.by,
                "row": number,
            }


def _write(config: PreferConfig, pairs: list[dict[str, Any]], counts: dict[str, Any], made_with: str) -> None:
    """Write the pairs and their receipt, each whole or not at all."""
    from prospero import paths
    from prospero.data.receipt import file_hash, origin
    from prospero.plain import plain

    out = Path(config.out)
    paths.write_text(out, "".join(json.dumps(pair) + "\n" for pair in pairs))
    receipt = origin() | counts | {"made_with": made_with, "file": file_hash(out), "settings": plain(config)}
    paths.write_text(out.with_suffix(".receipt.json"), json.dumps(receipt, indent=1, default=str) + "\n")
