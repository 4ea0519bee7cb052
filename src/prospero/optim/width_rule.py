"""Learning rates that follow the width of the model, for the optimisers whose rule is known.

Adam's best rate for hidden matrices falls as 1 / width (Yang et al. 2022, arXiv:2203.03466, table 3), and so do the
rates of GPT-3 (Brown et al. 2020, table 2.1): 6e-4 at a width of 768, 1.2e-4 at 4096. Beside Muon, the rate of
embeddings and head falls as 1 / sqrt(width) (modded-nanogpt and nanochat).
"""

from torch import nn

from prospero.errors import ConfigError
from prospero.log import log
from prospero.model.base import LanguageModel

ADAM_RATE = 6e-4
"""Of Adam and AdamW at REFERENCE_WIDTH: GPT-3 125M."""
LION_RATE = ADAM_RATE / 3
"""Of Lion: a third to a tenth of AdamW's (Chen et al. 2023, arXiv:2302.06675)."""
SCHEDULE_FREE_RATE = 2 * ADAM_RATE
"""Of schedule-free AdamW: one to ten times AdamW's (Defazio et al. 2024, arXiv:2405.15682)."""
RELATIVE_RATE = 0.025
"""Of Adafactor, relative to weights whose root mean square is about 0.02 at the start: a step of about Adam's."""
REST_RATE = 3e-3
"""Of what Muon leaves to AdamW, at REFERENCE_WIDTH."""
REFERENCE_WIDTH = 768
"""The width of GPT-2 124M and GPT-3 125M, at which an optimiser's reference rate holds."""
LEAST_WIDTH = 192
"""Narrower models take the rate of this width: further up the rule, short runs learn less (docs/LOG.md)."""


def rate_of_width(setting: str, given: float | None, model: nn.Module, reference: float, power: float = 1.0) -> float:
    """Return the rate that was given, else reference x (REFERENCE_WIDTH / width)^power, which is said in the log.

    Raises ConfigError when none is given and `model` is no language model, whose width is its `d_model`.
    """
    if given is not None:
        return given
    if not isinstance(model, LanguageModel):
        raise ConfigError(
            f"optimizer.{setting}=null takes the rate from the width of a language model, which "
            f"{type(model).__name__} is not; give optimizer.{setting}=<rate>"
        )
    rate = reference * (REFERENCE_WIDTH / max(model.d_model, LEAST_WIDTH)) ** power
    log.info(
        "optimizer.%s=%.3g, for a width of %d (%g at %d)", setting, rate, model.d_model, reference, REFERENCE_WIDTH
    )
    return rate
