"""What a long preparation shows: a bar per stage on a terminal, a line per stage elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prospero.log import log

Advance = Callable[[int], None]


class StageClock:
    """Times the stages of a job and shows them; `seconds` has the time of each."""

    def __init__(self, bars: bool | None = None) -> None:
        self.bars = sys.stderr.isatty() if bars is None else bars
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total_bytes: int | None = None) -> Iterator[Advance]:
        """Run a stage; the function it gives takes bytes as they are done."""
        done = 0
        started = time.perf_counter()

        def count(n_bytes: int) -> None:
            nonlocal done
            done += n_bytes

        if self.bars:
            with _bar(name, total_bytes) as advance:
                yield lambda n_bytes: (count(n_bytes), advance(n_bytes))[0]
        else:
            yield count
        seconds = time.perf_counter() - started
        self.seconds[name] = round(seconds, 3)
        speed = f", {done / 1e6:.1f} MB at {done / 1e6 / max(seconds, 1e-9):.1f} MB/s" if done else ""
        log.info("  %s: %.1f s%s", name, seconds, speed)


@contextmanager
def _bar(name: str, total_bytes: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=total_bytes)
        yield lambda n_bytes: progress.advance(task, n_bytes)
