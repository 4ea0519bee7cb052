"""A laboratory of somebody's own: one part of each kind, outside the package, as a user would write them."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from lightning import Callback
from torch import Tensor, nn

from prospero.batch import Batch
from prospero.data.document import Document
from prospero.data.sources.source import SourceConfig
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric, masked_sum
from prospero.model.base import LanguageModel, ModelOutput
from prospero.model.cache import RecurrentState
from prospero.objective.losses.base import Loss, LossConfig
from prospero.objective.regularizers.base import ParameterRegularizer, RegularizerConfig, local_part, sum_over_mesh
from prospero.objective.terms import MeasuredTokens, TokenScores
from prospero.optim.param_groups import decay_groups
from prospero.optim.sharded import local, local_grad
from prospero.registry import register


@dataclass(kw_only=True, slots=True)
class BigramConfig:
    """A model that sees one token only."""

    d_model: int = 16
    """Width of the embedding."""

    def build(self, vocab_size: int, max_seq_len: int) -> "Bigram":
        return Bigram(self, vocab_size, max_seq_len)


class Bigram(LanguageModel):
    """Embedding, one block that every token passes by itself, head."""

    def __init__(self, config: BigramConfig, vocab_size: int, max_seq_len: int) -> None:
        super().__init__(vocab_size, max_seq_len, config.d_model)
        self.embedding = nn.Embedding(vocab_size, config.d_model)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(config.d_model, config.d_model), nn.Tanh())])
        self.head = nn.Linear(config.d_model, vocab_size, bias=False)

    def forward(self, input_ids, *, document_ids=None, cache=None, logits=True) -> ModelOutput:
        x = self.blocks[0](self.embedding(input_ids))
        if cache is not None:
            cache.advance(input_ids.shape[1])
        return ModelOutput(x, self.project(x) if logits else None, cache)

    def project(self, hidden: Tensor) -> Tensor:
        return self.head(hidden)

    def output_weight(self) -> Tensor:
        return self.head.weight

    def new_cache(self, batch_size: int, max_len: int) -> RecurrentState:
        return RecurrentState(0, batch_size, max_len)


@dataclass(kw_only=True, slots=True)
class SignSGDConfig:
    """Sign SGD (Bernstein et al. 2018, arXiv:1802.04434)."""

    lr: float = 0.01
    """Size of every weight's step."""

    def build(self, model: nn.Module) -> "SignSGD":
        return SignSGD(decay_groups(model, 0.0), {"lr": self.lr})


class SignSGD(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    local(p).sub_(local_grad(p).sign(), alpha=float(group["lr"]))
        return loss


@dataclass(kw_only=True, slots=True)
class QuarticConfig(RegularizerConfig):
    """R = sum theta^4."""

    weight: float = 1e-3
    """lambda."""

    def build(self) -> "Quartic":
        return Quartic(self)


class Quartic(ParameterRegularizer):
    def value(self) -> Tensor:
        return sum_over_mesh((p, local_part(p).pow(4).sum()) for p in self.parameters.values())


@dataclass(kw_only=True, slots=True)
class MissConfig(LossConfig):
    """1 - p of the label, the share of tokens that sampling would miss."""

    def build(self) -> "Miss":
        return Miss(self)


class Miss(Loss):
    def per_token(self, scores: TokenScores) -> Tensor:
        return -torch.expm1(scores.target_logit - scores.log_sum_exp)


@dataclass(kw_only=True, slots=True)
class ConfidenceConfig:
    """val/confidence: the mean probability of the label."""

    def build(self, facts: MetricFacts) -> "Confidence":
        return Confidence()


class Confidence(TokenMetric):
    higher_is_better = True
    total: Tensor
    targets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("total", "targets")

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        self.total += masked_sum(torch.exp(-scores.nats), scores.mask)
        self.targets += scores.mask.sum()

    def compute(self) -> Tensor:
        return self.total / self.targets


@dataclass(kw_only=True, slots=True)
class ShoutConfig:
    """Make all letters capital."""

    def build(self):
        return str.upper


@dataclass(kw_only=True, slots=True)
class DiceConfig(SourceConfig):
    """Sentences thrown by dice."""

    sentences: int = 300
    """How many documents."""

    def build(self) -> "Dice":
        return Dice(self.sentences)


class Dice:
    def __init__(self, sentences: int) -> None:
        self.sentences = sentences
        self.notes: Counter[str] = Counter()

    def documents(self) -> Iterator[Document]:
        self.notes.clear()
        dice = random.Random(1)
        for number in range(self.sentences):
            yield Document(
                " ".join(dice.choice(("one", "two", "three", "red", "blue")) for _ in range(12)), f"#{number}"
            )

    def identity(self) -> dict:
        return {"sentences": self.sentences}

    def describe(self) -> str:
        return f"{self.sentences} sentences thrown by dice"

    def size_bytes(self) -> int:
        return self.sentences * 50


@dataclass(kw_only=True, slots=True)
class DiaryConfig:
    """Write the number of every micro-step into a file."""

    file: str = "diary.txt"
    """Name of the file in the run folder."""

    def build(self, run) -> "Diary":
        return Diary(run.run_dir / self.file)


class Diary(Callback):
    def __init__(self, path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.is_global_zero:
            with open(self.path, "a") as file:
                file.write(f"{batch_idx}\n")


register("model", "bigram", BigramConfig)
register("optimizer", "sign_sgd", SignSGDConfig)
register("regularizers", "quartic", QuarticConfig)
register("cleaning", "shout", ShoutConfig)
register("data", "dice", DiceConfig)
register("callbacks", "diary", DiaryConfig)
register("loss", "miss", MissConfig)
register("metrics", "confidence", ConfidenceConfig)
