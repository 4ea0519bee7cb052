"""Pairs of prompts for patching, as ids: of the settings, of records, or the embedded brackets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prospero.analysis.embedded_brackets import bracket_pairs
from prospero.analysis.text_rows import rows_wanted
from prospero.data.records import RecordsConfig
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.embedded.documents import unseen_documents
from prospero.evaluation.tasks.embedded.pinned import pinned
from prospero.evaluation.tasks.items import chosen

FIELDS = ("clean", "corrupted", "answer", "wrong")
MOST_EMBEDDED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPair:
    """Two prompts of as many tokens, and the first tokens of the two answers."""

    clean: list[int]
    corrupted: list[int]
    answer: int
    wrong: int
    tokens: list[str]
    """The clean prompt's tokens as text."""
    texts: Mapping[str, str]

    @property
    def changed(self) -> list[int]:
        """The places where the prompts differ."""
        return [place for place, (a, b) in enumerate(zip(self.clean, self.corrupted)) if a != b]

    @property
    def first_changed(self) -> int:
        """The first of them: before it both are the same, and so is all that the model makes of them."""
        return self.changed[0]

    def groups(self) -> dict[str, list[int]]:
        """Return the changed places, those between the first of them and the last place, and the last place."""
        last, changed = len(self.clean) - 1, self.changed
        between = [place for place in range(changed[0], last) if place not in changed]
        return {"changed": changed, "between": between, "last": [last]}

    def shown(self) -> dict[str, str]:
        """Return the texts as they were given."""
        return dict(self.texts)


def pairs_wanted(
    name: str, own: Mapping[str, str] | None, data: RecordsConfig, limit: int | None, facts: AnalysisFacts
) -> tuple[list[PromptPair], dict[str, Any]]:
    """Return the pairs and where they are from; DataError where prompts given by the user do not fit together."""
    tokenizer = facts.tokenizer
    known = TaskFacts(seed=facts.seed, limit=rows_wanted(limit, facts))
    if own is not None:
        return [encoded(own, tokenizer, f"analyses.{name}")], {"prompts": dict(own)}
    if data.given:
        records = chosen(data.read(FIELDS), limit, known)
        texts = [({field: record.text(field) for field in FIELDS}, record.place) for record in records]
        return [encoded(row, tokenizer, place) for row, place in texts], {"records": data.describe()}
    documents = unseen_documents(facts.data)
    rows = pinned(bracket_pairs(documents.documents), MOST_EMBEDDED)
    fitting = [pair for row in rows if (pair := _fitting(row, tokenizer)) is not None]
    if not fitting:
        raise DataError(f"analyses.{name} found no pairs that this tokenizer cuts alike; give analyses.{name}.clean=")
    return chosen(fitting, limit, known), {**documents.facts, "pairs": "lines of Python up to a closing bracket"}


def _fitting(row: Mapping[str, str], tokenizer: Tokenizer) -> PromptPair | None:
    try:
        pair = encoded(row, tokenizer, "embedded")
    except DataError:  # brackets that are one token with what stands beside them: another pair will do
        return None
    return pair if len(pair.changed) == 1 and pair.groups()["between"] else None


def encoded(texts: Mapping[str, str], tokenizer: Tokenizer, place: str) -> PromptPair:
    """Return the pair of four texts; DataError, with `place`, where they do not fit together."""
    start = [tokenizer.eot_id if tokenizer.bos_id is None else tokenizer.bos_id]
    clean, corrupted = ([*start, *tokenizer.encode(texts[name])] for name in ("clean", "corrupted"))
    if len(clean) != len(corrupted):
        raise DataError(
            f"{place}: clean has {len(clean) - 1} tokens and corrupted {len(corrupted) - 1} "
            f"({_cut(clean, tokenizer)} and {_cut(corrupted, tokenizer)}); patching needs as many, place by place"
        )
    if clean == corrupted:
        raise DataError(f"{place}: clean and corrupted are the same; change something")
    answer, wrong = (_next(texts, name, clean, start, tokenizer, place) for name in ("answer", "wrong"))
    if answer == wrong:
        raise DataError(f"{place}: answer and wrong begin with the same token {tokenizer.decode([answer])!r}")
    tokens = [tokenizer.decode([id_]) or "start" for id_ in clean]
    return PromptPair(clean=clean, corrupted=corrupted, answer=answer, wrong=wrong, tokens=tokens, texts=dict(texts))


def _next(
    texts: Mapping[str, str], name: str, clean: Sequence[int], start: Sequence[int], tokenizer: Tokenizer, place: str
) -> int:
    """Return the first token of an answer after the clean prompt; DataError where it melts into the prompt's last."""
    if not texts[name]:
        raise DataError(f"{place}: {name} is empty; give what may follow the prompt")
    whole = [*start, *tokenizer.encode(texts["clean"] + texts[name])]
    if len(whole) <= len(clean) or whole[: len(clean)] != list(clean):
        raise DataError(
            f"{place}: {name}={texts[name]!r} and the end of the prompt are one token together; move a space or a "
            "sign from one to the other"
        )
    return whole[len(clean)]


def _cut(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    return "|".join(tokenizer.decode([id_]) for id_ in ids[1:])
