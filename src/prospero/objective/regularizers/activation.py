"""AR and TAR: penalties on the size and the change of hidden states, made for recurrent language models."""

from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.batch import IGNORE_INDEX, Batch
from prospero.errors import ConfigError
from prospero.objective.regularizers.base import HiddenRegularizer, RegularizerConfig


@dataclass(kw_only=True, slots=True)
class ActivationConfig(RegularizerConfig):
    """Activation (AR) and temporal activation (TAR) regularisation (Merity et al. 2017, arXiv:1708.01009).

    They act on the last hidden states. Where the model ends in a normalisation, as the
    transformer does, AR is nearly a constant; TAR still acts.
    """

    weight: float = 1.0
    """lambda, the factor of AR and TAR together."""
    ar: float = 2.0
    """Factor of the mean square of the hidden states (alpha in the paper)."""
    tar: float = 1.0
    """Factor of the mean square of their change from one token to the next (beta in the paper)."""

    def __post_init__(self) -> None:
        RegularizerConfig.__post_init__(self)
        if not (self.ar >= 0 and self.tar >= 0):
            raise ConfigError(f"ar={self.ar} and tar={self.tar} are factors of penalties; give 0 or more")

    def build(self) -> "Activation":
        """Return the regulariser."""
        return Activation(self, self.ar, self.tar)


class Activation(HiddenRegularizer):
    """ar mean_d h_t^2 + tar mean_d (h_t - h_(t-1))^2, over targets; no pair crosses the border of two documents."""

    def __init__(self, config: RegularizerConfig, ar: float, tar: float) -> None:
        super().__init__(config)
        self.ar, self.tar = ar, tar

    def token_sum(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Return the sum over targets, a scalar; `hidden` is [B, T, D]."""
        hidden = hidden.float()
        mask = batch.labels != IGNORE_INDEX  # [B, T]
        size = torch.where(mask, hidden.square().mean(-1), 0.0).sum()
        pairs = mask[:, 1:]
        documents = batch.inputs.get("document_ids")
        if documents is not None:
            pairs = pairs & (documents[:, 1:] == documents[:, :-1])
        change = torch.where(pairs, (hidden[:, 1:] - hidden[:, :-1]).square().mean(-1), 0.0).sum()
        return self.ar * size + self.tar * change
