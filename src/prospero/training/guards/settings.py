"""Settings of the guards: what a run does when its numbers go wrong."""

from dataclasses import dataclass

from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class GuardsConfig:
    """Skipped steps, loss spikes and going back to the last good checkpoint."""

    enabled: bool = True
    """Watch loss and gradient of every step; without it only what is saved is checked."""
    max_skipped_in_row: int = 5
    """A step whose loss or gradient is not finite leaves the weights alone; after this many in a row the run goes
    back to its last good checkpoint."""
    spike_ratio: float | None = 3.0
    """A loss above this many times the running median counts as a spike; null watches for none. A median below one nat
    counts as one, so that noise near zero is no spike."""
    spike_window_steps: int = 128
    """Steps of which the running median is taken; before as many are done the first loss stands for it."""
    spike_steps: int = 5
    """Spikes in a row after which the run goes back."""
    max_rollbacks: int = 3
    """Times the run goes back to the same checkpoint, each time with other data; then it stops with a diagnosis.
    0 stops at once."""

    def __post_init__(self) -> None:
        at_least = {"max_skipped_in_row": 1, "spike_window_steps": 2, "spike_steps": 1, "max_rollbacks": 0}
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise ConfigError(f"trainer.guards.{name}={getattr(self, name)} must be at least {least}")
        if self.spike_ratio is not None and not self.spike_ratio > 1:
            raise ConfigError(f"trainer.guards.spike_ratio={self.spike_ratio} must be above 1, or null for no guard")
