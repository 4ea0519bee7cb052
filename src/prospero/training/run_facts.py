"""What is known only when a run starts, and what callbacks and loggers may ask about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.evaluation.monitor import Monitor
from prospero.model.size import ParameterCount

if TYPE_CHECKING:
    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.evaluation.measurement import Measurement


@dataclass(kw_only=True, slots=True, frozen=True)
class RunFacts:
    """The argument of every callback's and logger's `build`."""

    run_dir: Path
    """The run folder."""
    name: str = "run"
    """The run's name."""
    group: str = ""
    """The sweep the run belongs to, empty outside sweeps."""
    tags: list[str] = field(default_factory=list)
    """Words to find the run by."""
    config: dict[str, Any] = field(default_factory=dict)
    """All settings as plain values, secrets already redacted."""
    tokenizer: "Tokenizer | None" = None
    """The run's tokenizer; None in tests of parts that write no text."""
    data_fingerprint: str = ""
    """Of the prepared data; numbers of different data are not compared."""
    trained_on: Sequence[Path] = ()
    """Folders of prepared data: the run's own, and those of the models that it began from, where they are here."""
    tokens_per_step: int = 0
    """Tokens that one optimiser step reads: global batch times sequence length."""
    flops_per_token: float = 0.0
    """Floating-point operations of one token's forward and backward; 0 when not counted."""
    size: ParameterCount | None = None
    """Numbers of parameters; None when not counted."""
    precision: str = "float32"
    """`float32`, `bf16`, `bf16_true` or `float16`, as resolved."""
    seed: int = 0
    """The run's seed."""
    monitor: Monitor = field(default_factory=Monitor)
    """The number by which the run is judged."""
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    """Each number of a validation by which a model is better or worse -> whether the larger is the better."""
    sampling: Any = None
    """Settings of how samples are drawn (temperature, top-k, top-p); None draws greedily."""
    tasks: "Sequence[Measurement]" = ()
    """What the model is measured by besides validation."""
    analyses: "Sequence[Measurement]" = ()
    """What is looked at inside the model on the way."""
