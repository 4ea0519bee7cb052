"""What was measured of a run's model, as plain numbers: `analysis/doctor/` makes it, the rules read it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseScale:
    """The gradient's noise (McCandlish et al. 2018, arXiv:1812.06162, appendix A.1)."""

    signal: float
    """|G|^2: the squared norm of the whole data's gradient, without bias; may come out below 0 where noise hides it."""
    noise: float
    """tr(S): the variance of one sequence's gradient, summed over the parameters."""
    sequences: int
    """Sequences whose gradients were taken."""

    @property
    def sequences_of_equal_noise(self) -> float:
        """B_simple = tr(S) / |G|^2, in sequences; infinite where the noise hides the gradient."""
        return self.noise / self.signal if self.signal > 0 else float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A checkpoint's model on some batches of its training data."""

    checkpoint: str
    """Its name."""
    sequences: int
    """Sequences of the training data that were read."""
    noise: NoiseScale | None = None
    """None where no gradient could be taken."""
    curvature: float | None = None
    """g'Hg / g'g: the loss's second derivative along its gradient."""
    dormant: dict[str, float] = field(default_factory=dict)
    """Layer -> share of its units that are dormant (Sokar et al. 2023, arXiv:2302.12902, with tau = 0.025)."""
    heads: int = 0
    """Attention heads."""
    silent_heads: list[str] = field(default_factory=list)
    """Heads that add next to nothing: `2.5` is the sixth head of the third block."""
    sink_heads: list[str] = field(default_factory=list)
    """Heads that look at the first token alone: over 0.3 of their weight (Gu et al. 2024, arXiv:2410.10781)."""
    padding: float | None = None
    """Share of the positions of training that hold no text; None where it is not known."""
