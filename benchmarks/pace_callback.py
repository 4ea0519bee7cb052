"""A plugin: the callback `pace` lets `benchmarks/contest.py` drive a run of the platform step by step."""

from dataclasses import dataclass
from typing import Any

from prospero.registry import register


@dataclass(kw_only=True, slots=True)
class PaceConfig:
    """Waits for a turn at the end of every step."""

    warmup_steps: int = 5
    """Steps before the first measured one."""

    def build(self, run: Any) -> Any:
        """Return the callback."""
        from contest import Pace
        from lightning.pytorch.callbacks import Callback

        pace = Pace(self.warmup_steps)

        class PaceCallback(Callback):
            def on_train_batch_end(self, *_: Any) -> None:
                pace()

        return PaceCallback()


register("callbacks", "pace", PaceConfig)
