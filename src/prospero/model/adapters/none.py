"""No adapter: every weight is trained, from scratch or on from where `init_from` begins."""

from dataclasses import dataclass

from prospero.model.adapters.base import Adapter


@dataclass(kw_only=True, slots=True)
class NoAdapterConfig:
    """Train all weights."""

    def build(self) -> Adapter:
        """Return the adapter that does nothing."""
        return Adapter()
