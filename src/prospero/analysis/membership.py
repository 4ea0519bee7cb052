"""Membership: can one tell from a model's likelihoods which text it was trained on?

Three scores of a text, each higher where the model knows it better: the mean log-probability of its tokens (Yeom et al.
2018); Min-K%, the mean over the share k of its least likely tokens (Shi et al. 2023, arXiv:2310.16789); and Min-K%++,
the same of log-probabilities that are standardised by mean and deviation over the whole vocabulary at each place (Zhang
et al. 2024, arXiv:2404.02936). A pair is a text of the training split and one of the validation split: the AUC is the
share of pairs in which the trained one scores higher, 0.5 where nothing can be told.

Shapes: B texts, T tokens, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.analysis.base import Analysis, rows_tensor
from prospero.analysis.histograms import histograms
from prospero.analysis.trained_text import check_tokenizer, trained_data, windows
from prospero.data.prepare import PreparedData
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject

NAMES = {"loss": "mean log-probability", "min_k": "Min-K%", "min_k_pp": "Min-K%++"}
SCORES = tuple(NAMES)


@dataclass(kw_only=True, slots=True)
class MembershipConfig:
    """Tell training text from held-out text by its likelihood: AUC of Min-K% and Min-K%++."""

    k: float = 0.2
    """Share of the tokens, the least likely ones, that Min-K% and Min-K%++ look at."""
    tokens: int = 64
    """Tokens of a text."""
    limit: int | None = None
    """Pairs of a trained and a held-out text at most; null: as the command says, or 200, inside training 32."""

    def __post_init__(self) -> None:
        if not 0 < self.k <= 1:
            raise ConfigError(f"k={self.k} is a share of the tokens; choose above 0 and up to 1")
        if self.tokens < 2 or (self.limit is not None and self.limit < 1):
            raise ConfigError(f"tokens={self.tokens} must be 2 or more, and limit={self.limit} 1 or more")

    def build(self, name: str, facts: AnalysisFacts) -> "Membership":
        """Return the analysis, its texts drawn by the seed."""
        data, limit = trained_data(name, facts), self.limit or facts.limit or (32 if facts.training else 200)
        if facts.seq_len is not None and self.tokens > facts.seq_len:
            raise ConfigError(f"analyses.{name}.tokens={self.tokens}: the model reads {facts.seq_len:,} at once")
        eot = data.tokenizer.eot_id
        texts = [windows(data.splits[split], eot, self.tokens, limit, facts.seed) for split in ("train", "val")]
        if not min(map(len, texts)):
            raise DataError(f"analyses.{name}: no document has {self.tokens} tokens; give a smaller tokens=")
        return Membership(name, self, data, list(zip(*texts)))


def scores(logits: Tensor, labels: Tensor, k: float) -> dict[str, Tensor]:
    """Return the three scores [B] of logits [B, T, V] whose next tokens are `labels` [B, T]."""
    log_p = logits.float().log_softmax(dim=-1)
    picked = log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)  # [B, T]
    p = log_p.exp()
    mean = (p * log_p).nan_to_num(0.0).sum(dim=-1)
    variance = (p * log_p.square()).nan_to_num(0.0).sum(dim=-1) - mean.square()
    standard = (picked - mean) / variance.clamp(min=1e-12).sqrt()
    count = max(1, int(k * labels.shape[1]))
    return {
        "loss": picked.mean(dim=-1),
        "min_k": picked.topk(count, dim=-1, largest=False).values.mean(dim=-1),
        "min_k_pp": standard.topk(count, dim=-1, largest=False).values.mean(dim=-1),
    }


class Membership(Analysis):
    """A pair of a trained and a held-out text is an item."""

    needs_model = False
    judged = True

    def __init__(
        self, name: str, config: MembershipConfig, data: PreparedData, pairs: Sequence[tuple[list[int], list[int]]]
    ) -> None:
        super().__init__(name)
        self.config, self.data, self.pairs = config, data, pairs

    @property
    def size(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    @property
    def quantities(self) -> list[Quantity]:
        """The share of pairs that each score orders rightly."""
        return [Quantity(name=f"auc_{score}", higher_is_better=False) for score in SCORES]

    @property
    def facts(self) -> dict[str, Any]:
        """Which texts, and how they are scored."""
        return {"data": self.data.fingerprint, "k": self.config.k, "tokens": self.config.tokens}

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return [
            "0.5 is chance, and means that these scores tell nothing, not that nothing was memorised.",
            "Texts of the two splits must be alike: whatever else tells them apart is measured too.",
        ]

    @torch.inference_mode()
    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Score both texts of each pair."""
        check_tokenizer(self.name, subject, self.data)
        with subject.decoder.session():
            trained, held_out = (self._scores(subject, [self.pairs[item][side] for item in items]) for side in (0, 1))
        for place, item in enumerate(items):
            values = {score: (trained[score][place], held_out[score][place]) for score in SCORES}
            statistics = {f"auc_{score}": [_wins(*pair), 1.0] for score, pair in values.items()}
            texts = [self.data.tokenizer.decode(ids) for ids in self.pairs[item]]
            yield Outcome(item, statistics, {"trained": texts[0], "held_out": texts[1], "scores": values})

    def _scores(self, subject: Subject, rows: Sequence[list[int]]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {score: [] for score in SCORES}
        hidden = subject.decoder.hidden(rows_tensor(rows, torch.device("cpu"))[:, :-1])
        for states, row in zip(hidden, rows):  # the logits of one text at a time
            labels = torch.tensor([row[1:]], device=hidden.device)
            for score, value in scores(subject.decoder.project(states).unsqueeze(0), labels, self.config.k).items():
                found[score].append(float(value))
        return found

    def draw(self, measured: Measured, figure: Any) -> bool:
        """The scores of trained and held-out texts, side by side."""
        for axes, (score, name) in zip(figure.subplots(1, len(NAMES)), NAMES.items()):
            both = np.array([outcome.record["scores"][score] for outcome in measured.outcomes])
            histograms(axes, {"trained": both[:, 0].tolist(), "held out": both[:, 1].tolist()}, x=name, y="texts")
        return True


def _wins(trained: float, held_out: float) -> float:
    return 0.5 if trained == held_out else float(trained > held_out)
