"""How fast each de-duplication is: what it wants to know of texts, and the comparison, by its default settings.

    python benchmarks/dedup.py

Over Python's standard library, a document a file, in megabytes of UTF-8 for each second of one core's processor time,
the best of ROUNDS (docs/DEDUP.md).
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from prospero.data.dedup.exact import ExactDedupConfig
from prospero.data.dedup.lines import LinesDedupConfig
from prospero.data.dedup.minhash import MinHashDedupConfig, Unit
from prospero.data.dedup.paragraphs import ParagraphsDedupConfig
from prospero.data.sources.stdlib import StdlibConfig

ROUNDS = 3
PARTS: dict[str, Any] = {
    "exact": ExactDedupConfig(),
    "minhash, words": MinHashDedupConfig(),
    "minhash, characters": MinHashDedupConfig(unit=Unit.characters),
    "paragraphs": ParagraphsDedupConfig(),
    "lines": LinesDedupConfig(),
}


def seconds(settings: Any, texts: list[str]) -> tuple[float, float]:
    """Return the processor time of all sketches, and of keeping or dropping all texts."""
    with tempfile.TemporaryDirectory() as folder:
        dedup = settings.build(Path(folder))
        begun = time.process_time()
        sketches = [dedup.sketch(text) for text in texts]
        between = time.process_time()
        for number, (text, sketch) in enumerate(zip(texts, sketches)):
            dedup.keep(text, sketch, str(number))
        ended = time.process_time()
        dedup.close()
    return between - begun, ended - between


def main() -> None:
    """Print the table."""
    texts = [document.text for document in StdlibConfig().build().documents()]
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts)} documents, {size:.1f} MB\n\n| dedup | sketches, MB/s | comparing, MB/s |\n|---|--:|--:|")
    for name, settings in PARTS.items():
        sketches, keeping = (min(part) for part in zip(*(seconds(settings, texts) for _ in range(ROUNDS))))
        print(f"| {name} | {size / sketches:.1f} | {size / keeping:.0f} |", flush=True)


if __name__ == "__main__":
    main()
