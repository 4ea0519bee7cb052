"""How fast each cleaning step is, and how much of code and of prose it leaves out, by its default settings.

    python benchmarks/cleaning.py [step ...]

Code is Python's standard library, a document a file; prose are its docstrings, joined to documents of about 5,000
characters. Megabytes of UTF-8 for each second of one core's processor time, the best of ROUNDS (docs/QUALITY.md).
"""

import importlib
import sys
import time
from typing import Any

from prospero.data.cleaning.step import Drop
from prospero.data.sources.stdlib import StdlibConfig
from prospero.data.sources.stdlib_docs import StdlibDocsConfig
from prospero.registry import PARTS

ROUNDS = 3
MOST_BYTES = 5_000_000
PAGE_CHARACTERS = 5000


def corpora() -> dict[str, list[str]]:
    """Return the texts of both corpora, up to MOST_BYTES of each."""
    code = _first([document.text for document in StdlibConfig().build().documents()])
    pages, page = [], ""
    for document in StdlibDocsConfig().build().documents():
        page += document.text.rstrip() + "\n\n"
        if len(page) > PAGE_CHARACTERS:
            pages.append(page)
            page = ""
    return {"code": code, "prose": _first(pages)}


def _first(texts: list[str]) -> list[str]:
    kept, size = [], 0
    for text in texts:
        size += len(text.encode())
        if size > MOST_BYTES:
            break
        kept.append(text)
    return kept


def measured(step: Any, texts: list[str]) -> tuple[float, float]:
    """Return megabytes for each second, and the share of the texts that the step drops."""
    size, best, outcomes = sum(len(text.encode()) for text in texts) / 1e6, float("inf"), []
    step(texts[0])  # what is read or made once
    for _ in range(ROUNDS):
        start = time.process_time()
        outcomes = [step(text) for text in texts]
        best = min(best, time.process_time() - start)
    return size / best, sum(isinstance(outcome, Drop) for outcome in outcomes) / len(texts)


def main() -> None:
    """Print the table."""
    texts = corpora()
    print("| step | code, MB/s | dropped | prose, MB/s | dropped |\n|---|---|---|---|---|")
    for name in sys.argv[1:] or PARTS["cleaning"]:
        module, _, settings = PARTS["cleaning"][name].partition(":")
        step = getattr(importlib.import_module(module), settings)().build()
        cells = [f"{speed:.1f} | {share:.1%}" for speed, share in (measured(step, some) for some in texts.values())]
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
