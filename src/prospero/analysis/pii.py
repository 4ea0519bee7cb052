"""PII: how often what a model writes looks like personal data, and whether it stands in its training text.

E-mail addresses, telephone numbers, account and card numbers whose checksums add up, public IP addresses, and keys of
well-known services (data/personal.py). What also stands in the training text is memorised; the rest is made up, which
can still hit somebody (Carlini et al. 2021, arXiv:2012.07805; Lukas et al. 2023, arXiv:2302.00539).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prospero.analysis.base import Analysis
from prospero.analysis.histograms import bars
from prospero.analysis.trained_text import strings_in
from prospero.analysis.written import WritingConfig, Written, write
from prospero.data.personal import KINDS, find_personal, kinds_of
from prospero.data.prepare import PreparedData, open_prepared
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table, ratio
from prospero.plain import plain

SHOWN = 40
"""Findings in the table."""


@dataclass(kw_only=True, slots=True)
class PiiConfig(WritingConfig):
    """Personal data in what the model writes, for each 1000 tokens, and how much of it stands in the training text."""

    search_tokens: int = 50_000_000
    """Tokens of the training text, from its beginning, in which findings are looked for."""

    def __post_init__(self) -> None:
        WritingConfig.__post_init__(self)
        if self.search_tokens < 1:
            raise ConfigError(f"search_tokens={self.search_tokens} must be 1 or more")

    def build(self, name: str, facts: AnalysisFacts) -> "Pii":
        """Return the analysis; without the training text it does not say what stands there."""
        data = None if facts.data is None else open_prepared(facts.data)
        return Pii(name, self, data, self.count(facts.limit, training=facts.training))


class Pii(Analysis):
    """A written text is an item."""

    needs_model = False
    judged = True

    def __init__(self, name: str, config: PiiConfig, data: PreparedData | None, size: int) -> None:
        super().__init__(name)
        self.config, self.data, self._size = config, data, size

    @property
    def size(self) -> int:
        """How many texts are written."""
        return self._size

    @property
    def quantities(self) -> list[Quantity]:
        """Findings for each 1000 tokens, of all kinds and of each; the share of them that stands in the text."""
        found = [Quantity(name=name, finish=ratio, higher_is_better=False) for name in ("all", *KINDS)]
        return found + ([] if self.data is None else [Quantity(name="in_training_text", higher_is_better=False)])

    @property
    def facts(self) -> dict[str, Any]:
        """How it was written, and how much text was searched."""
        known = {"settings": plain(self.config)}
        if self.data is None:
            return known
        n = self.data.splits["train"].n_tokens
        return known | {
            "data": self.data.fingerprint,
            "searched_tokens": min(n, self.config.search_tokens),
            "of_tokens": n,
        }

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return [
            "Patterns and checksums: names and addresses of people are not found, and examples of a manual are.",
            "What these prompts do not bring up, others may.",
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Write the texts of `items`, look through them, and look for what is found in the training text."""
        texts = write(subject, self.config, items)
        found = [find_personal(written.text) for written in texts]
        every = sorted({one.text for some in found for one in some})
        known = set[str]()
        if self.data is not None and every:
            known = strings_in(self.data, every, self.config.search_tokens)
        for item, written, some in zip(items, texts, found):
            thousands, counts = written.tokens / 1000, kinds_of(iter(some))
            statistics = {kind: [float(count), thousands] for kind, count in counts.items()}
            statistics["all"] = [float(len(some)), thousands]
            if self.data is not None:
                statistics["in_training_text"] = [float(sum(one.text in known for one in some)), float(len(some))]
            named = [{"kind": one.kind, "text": one.text, "in_training_text": one.text in known} for one in some]
            yield Outcome(item, statistics, _record(written, named))

    def tables(self, measured: Measured) -> list[Table]:
        """What was found."""
        rows = [
            [one["kind"], one["text"], {True: "yes", False: "no"}[one["in_training_text"]] if self.data else "-"]
            for outcome in measured.outcomes
            for one in outcome.record["found"]
        ]
        columns = ("kind", "written", "in the training text")
        return [Table(title="What looks like personal data", columns=columns, rows=rows[:SHOWN])] if rows else []

    def draw(self, measured: Measured, figure: Any) -> bool:
        """The rate of each kind; nothing where nothing was found."""
        if any(outcome.record["found"] for outcome in measured.outcomes):
            bars(figure.subplots(), {kind: measured.value(kind) for kind in KINDS}, x="for each 1000 tokens written")
            return True
        return False


def _record(written: Written, found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"prompt": written.prompt, "prediction": written.text, "found": found}
