"""Extraction: how much training text a model writes out when it is given what stands before it.

Carlini et al. 2022, "Quantifying memorization" (arXiv:2202.07646): a run of training text is extractable with k tokens
of context when the model, decoding greedily after the k tokens before it, writes it word for word. The same is asked
of held-out text, which tells memory from what anybody could guess. Near copies are told by edit similarity (Ippolito et
al. 2022, arXiv:2210.17546), and whatever is written is looked for in the training text, for a model may copy from
elsewhere. Where canaries were planted, each is asked for by the first half of its secret.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from prospero.analysis.base import Analysis
from prospero.analysis.histograms import histograms
from prospero.analysis.trained_text import check_tokenizer, trained_data, windows
from prospero.data.canaries import FIELD, Canaries, canaries_of
from prospero.data.overlap import blocks, overlaps
from prospero.data.prepare import PreparedData
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.generation.engine import Engine
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context

SHOWN = 12
"""Copies in the table."""


@dataclass(kw_only=True, slots=True)
class ExtractionConfig:
    """Training text that the model writes out after what stands before it, by greedy decoding."""

    prompt_tokens: int = 50
    """Tokens of the text that the model is given."""
    new_tokens: int = 50
    """Tokens that it writes, compared with those that follow in the text."""
    near: float = 0.9
    """Edit similarity (1 - edits / tokens of the longer) from which a copy counts as near."""
    copy_tokens: int = 25
    """A run of so many tokens that stands in the training text, wherever, counts as copied."""
    search_tokens: int = 50_000_000
    """Tokens of the training text that are searched for copies, in blocks spread over it, for each batch."""
    limit: int | None = None
    """Prompts of the training text, and as many of held-out text; null: as the command says, or 100, in training 16."""

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "new_tokens", "copy_tokens", "search_tokens", "limit"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name}={value} must be 1 or more")
        if self.copy_tokens > self.new_tokens:
            raise ConfigError(f"copy_tokens={self.copy_tokens} is longer than new_tokens={self.new_tokens}")
        if not 0 < self.near <= 1:
            raise ConfigError(f"near={self.near} is a similarity; choose above 0 and up to 1")

    def build(self, name: str, facts: AnalysisFacts) -> "Extraction":
        """Return the analysis, its prompts drawn by the seed."""
        data, limit = trained_data(name, facts), self.limit or facts.limit or (16 if facts.training else 100)
        length = self.prompt_tokens + self.new_tokens
        if facts.seq_len is not None and length > facts.seq_len:
            raise ConfigError(
                f"analyses.{name}: prompt_tokens + new_tokens = {length}, and the model reads {facts.seq_len:,} at once"
            )
        asked = []
        for kind, split in (("trained", "train"), ("held_out", "val")):
            found = windows(data.splits[split], data.tokenizer.eot_id, length, limit, facts.seed)
            if not found:
                raise DataError(
                    f"analyses.{name}: no document of {split} has {length} tokens; give a smaller new_tokens="
                )
            asked += [Asked(kind, ids[: self.prompt_tokens], ids[self.prompt_tokens :]) for ids in found]
        canaries = canaries_of(data.directory, data.receipt)
        return Extraction(name, self, data, [*asked, *([] if canaries is None else of_canaries(canaries, data))])


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt and what follows it in its text."""

    kind: str
    """trained, held_out, canary or control."""
    prompt: list[int]
    follows: list[int]


def of_canaries(canaries: Canaries, data: PreparedData) -> list[Asked]:
    """Return for each planted secret and each control its line up to the middle of the secret, and the other half."""
    before, after = canaries.format.split(FIELD)
    found = []
    for kind, secrets in (("canary", canaries.planted), ("control", canaries.controls)):
        for secret in secrets:
            known = data.tokenizer.encode(f"\n{before}{secret[: len(secret) // 2]}")
            whole = data.tokenizer.encode(f"\n{before}{secret}{after}")
            same = next((n for n, pair in enumerate(zip(known, whole)) if pair[0] != pair[1]), len(known))
            found.append(Asked(kind, list(whole[:same]), list(whole[same:])))
    return found


class Extraction(Analysis):
    """A prompt is an item."""

    needs_model = False
    judged = True

    def __init__(self, name: str, config: ExtractionConfig, data: PreparedData, asked: Sequence[Asked]) -> None:
        super().__init__(name)
        self.config, self.data, self.asked = config, data, list(asked)

    @property
    def size(self) -> int:
        """How many prompts there are."""
        return len(self.asked)

    @property
    def quantities(self) -> list[Quantity]:
        """Shares of the continuations that are copies, after training text and after held-out text."""
        names = [f"{kind}{ending}" for ending in ("", "_held_out") for kind in ("exact", "near", "copied")]
        if any(one.kind == "canary" for one in self.asked):
            names += ["canaries", "controls"]
        return [Quantity(name=name, higher_is_better=False) for name in names]

    @property
    def facts(self) -> dict[str, Any]:
        """How it was asked, and how much text was searched."""
        config, n = self.config, self.data.splits["train"].n_tokens
        return {
            "data": self.data.fingerprint,
            "prompt_tokens": config.prompt_tokens,
            "new_tokens": config.new_tokens,
            "near": config.near,
            "copy_tokens": config.copy_tokens,
            "searched_tokens": min(n, config.search_tokens),
            "of_tokens": n,
        }

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return [
            "A lower bound: other prompts, longer ones, and sampling extract more (Carlini et al. 2022).",
            "What held-out text yields is what can be guessed; only what training text yields beyond it is memory.",
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Continue the prompts of `items` side by side, and look for all that was written in one pass over the text."""
        check_tokenizer(self.name, subject, self.data)
        written = self._written(subject, items)
        n = self.config.copy_tokens
        train = self.data.splits["train"]
        found = overlaps([np.array(ids, np.int64) for ids in written], blocks(train, n, self.config.search_tokens), n)
        for item, ids, copied in zip(items, written, found):
            yield self._outcome(item, ids, copied.longest)

    def _written(self, subject: Subject, items: Sequence[int]) -> list[list[int]]:
        engine = Engine(subject.decoder, subject.tokenizer, max_rows=subject.rows, context=Context.slide)
        handles = {}
        for place, item in enumerate(items):
            asked = self.asked[item]
            sampling = SamplingConfig(temperature=0.0, max_new_tokens=len(asked.follows))
            handles[engine.add(asked.prompt, sampling)] = place
        found: list[list[int]] = [[] for _ in items]
        with subject.decoder.session():
            while not engine.idle:
                for event in engine.step():
                    if event.completion is not None:
                        found[handles[event.row]] = event.completion.ids
        return found

    def _outcome(self, item: int, ids: list[int], longest: int) -> Outcome:
        asked, decode = self.asked[item], self.data.tokenizer.decode
        similarity = Levenshtein.normalized_similarity(ids, asked.follows)
        exact, near, copied = ids == asked.follows, similarity >= self.config.near, longest > 0
        statistics = {quantity.name: [0.0, 0.0] for quantity in self.quantities}
        if asked.kind in ("canary", "control"):
            statistics["canaries" if asked.kind == "canary" else "controls"] = [float(exact), 1.0]
        else:
            ending = "" if asked.kind == "trained" else "_held_out"
            for name, value in (("exact", exact), ("near", near), ("copied", copied)):
                statistics[name + ending] = [float(value), 1.0]
        record = {"from": asked.kind, "prompt": decode(asked.prompt), "prediction": decode(ids)}
        record |= {"references": [decode(asked.follows)], "similarity": similarity, "longest_copy": longest}
        return Outcome(item, statistics, record)

    def tables(self, measured: Measured) -> list[Table]:
        """The longest copies that were not just canaries."""
        records = [outcome.record for outcome in measured.outcomes if outcome.record["from"] in ("trained", "held_out")]
        copies = sorted((one for one in records if one["longest_copy"]), key=lambda one: -one["longest_copy"])[:SHOWN]
        rows = [
            [one["from"], one["longest_copy"], one["similarity"], one["prompt"][-40:], one["prediction"][:80]]
            for one in copies
        ]
        columns = ("prompt from", "tokens copied", "similarity", "prompt ends", "written")
        return [Table(title="The longest copies of training text", columns=columns, rows=rows)] if rows else []

    def draw(self, measured: Measured, figure: Any) -> bool:
        """How alike what was written is to what follows in the text."""
        records = [outcome.record for outcome in measured.outcomes]
        kinds = {"after training text": "trained", "after held-out text": "held_out"}
        alike = {label: [one["similarity"] for one in records if one["from"] == kind] for label, kind in kinds.items()}
        histograms(figure.subplots(), alike, x="edit similarity to what follows", y="prompts", shares=True)
        return True
