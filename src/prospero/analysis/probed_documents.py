"""Documents as a probe reads them: ids in windows that the model can read, and the properties of every token.

Shapes: n documents, T tokens of a window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prospero.analysis.text_properties import NONE, TextProperty
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.evaluation.tasks.text import EncodedText
from prospero.model.base import LanguageModel
from prospero.model.hooks import record

TOKENS_OF_A_DOCUMENT = range(256, 4097)
"""Its beginning counts: few tokens of many documents rather than many of few, where there are many."""
CHARACTERS_PER_TOKEN = 16
"""More than a token has: of how much text the tokens are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedDocument:
    """One document."""

    text: str
    ids: np.ndarray
    """int64 [tokens]."""
    classes: dict[str, np.ndarray]
    """Property -> the class of each token, int64 [tokens]; NONE where it has none."""


def tokens_of_each(documents: int, wanted: int) -> int:
    """Return how many tokens of each document make `wanted` of them all, within bounds."""
    least, most = TOKENS_OF_A_DOCUMENT[0], TOKENS_OF_A_DOCUMENT[-1]
    return min(most, max(least, -(-wanted // max(1, documents))))


def texts_of(text: EncodedText, most: int) -> Iterator[str]:
    """Yield the documents of encoded text, `most` tokens of each, spread evenly: the first of each half, quarter ..."""
    ends, n = text.shards.document_ends, text.shards.n_documents
    for place in _spread(n):
        start = int(ends[place - 1]) if place else 1
        stop = min(int(ends[place]), start + most)
        yield text.tokenizer.decode(text.shards.tokens(start, stop).tolist())


def _spread(n: int) -> Iterator[int]:
    """Yield 0 .. n - 1 in van der Corput's order, whose every beginning is spread evenly."""
    bits = max(1, (n - 1).bit_length())
    for number in range(2**bits):
        place = int(f"{number:0{bits}b}"[::-1], 2)
        if place < n:
            yield place


def probed(text: str, tokenizer: Tokenizer, properties: Sequence[TextProperty], most: int) -> ProbedDocument:
    """Return a document of `most` tokens with its properties; a token has that of its last character."""
    text = text[: CHARACTERS_PER_TOKEN * most]
    encoding = tokenizer.inner.encode(text, add_special_tokens=False)
    ids = np.array(encoding.ids[:most], dtype=np.int64)
    ends = np.array([end for _, end in encoding.offsets[:most]], dtype=np.int64)
    classes = {}
    for one in properties:
        of_characters = one.of_characters(text)
        found = np.full(len(ids), NONE, dtype=np.int64)
        found[ends > 0] = of_characters[ends[ends > 0] - 1]
        classes[one.name] = balanced(found) if one.balanced else found
    return ProbedDocument(text=text, ids=ids, classes=classes)


def balanced(classes: np.ndarray) -> np.ndarray:
    """Return classes [n] of 0 and 1 of which as many are kept of each, drawn evenly; the others have none."""
    kept = np.full_like(classes, NONE)
    count = min((classes == which).sum() for which in (0, 1))
    for which in (0, 1):
        places = np.flatnonzero(classes == which)
        some = places[np.linspace(0, len(places) - 1, count).round().astype(np.int64)] if count else places[:0]
        kept[some] = which
    return kept


class Windows:
    """The tokens of some documents in windows of one length, the first of each after the document separator."""

    def __init__(self, documents: Sequence[ProbedDocument], tokenizer: Tokenizer, seq_len: int) -> None:
        first = tokenizer.eot_id if tokenizer.bos_id is None else tokenizer.bos_id
        rows, real = [], []
        for document in documents:
            ids = np.concatenate([[first], document.ids])
            for start in range(0, len(ids), seq_len):
                part = ids[start : start + seq_len]
                rows.append(np.pad(part, (0, seq_len - len(part)), constant_values=first))
                places = np.arange(seq_len) + start
                real.append((places > 0) & (places < len(ids)))
        self.rows, self.real = torch.from_numpy(np.stack(rows)), torch.from_numpy(np.stack(real))

    @torch.no_grad()
    def activations(self, model: LanguageModel, names: Sequence[str], rows: int) -> dict[str, Tensor]:
        """Return what stands at points after each token, float32 [tokens of all documents, width]; `rows` at a time."""
        found: dict[str, list[Tensor]] = {name: [] for name in names}
        for start in range(0, len(self.rows), rows):
            ids, real = self.rows[start : start + rows].to(model.device), self.real[start : start + rows]
            with record(model, names) as recorded:
                model(ids, logits=False)
            for name in names:
                found[name].append(recorded[name].flatten(2)[real.to(model.device)].float())
        return {name: torch.cat(parts) for name, parts in found.items()}
