"""Speed of the whole preparation beside bare `encode_batch` on the same text with the same tokenizer.

    python benchmarks/prepare.py                         # the text that comes with Python
    python benchmarks/prepare.py --path corpus/ --vocab-size 8192

Preparation: read, clean, de-duplicate, split, encode, write, hash, receipt; training the tokenizer is not counted.
Bare: `tokenizers.Tokenizer.encode_batch` on the cleaned documents in memory, the ids thrown away.
The two take turns, so that a busy machine slows both; the medians are compared.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from prospero.data.cleaning.control_characters import ControlCharactersConfig
from prospero.data.cleaning.unicode import UnicodeConfig
from prospero.data.cleaning.white_space import WhiteSpaceConfig
from prospero.data.dedup.exact import ExactDedupConfig
from prospero.data.parts import SourceSettings
from prospero.data.prepare import PreparedData, prepare
from prospero.data.settings import PrepareConfig
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.stdlib import StdlibConfig
from prospero.data.split import AutoSplitConfig
from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.errors import ProsperoError

MEGABYTE = 1e6
DOCUMENTS_AT_ONCE = 256
"""For the bare run: all at once it would be slower, for its memory would grow to many times the text."""


def main() -> int:
    """Measure and print both speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="file, folder or glob; without it the text that comes with Python")
    parser.add_argument("--vocab-size", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-bare", action="store_true", help="prepare once and print the peak memory (large corpora)")
    arguments = parser.parse_args()
    source = FilesConfig(path=arguments.path) if arguments.path else StdlibConfig()
    try:
        repeats = 1 if arguments.no_bare else arguments.repeats
        return measure(source, arguments.vocab_size, repeats, bare=not arguments.no_bare)
    except ProsperoError as error:
        print(error, file=sys.stderr)
        return 2


def measure(source: SourceSettings, vocab_size: int, repeats: int, *, bare: bool) -> int:
    """Take turns, then print megabytes per second (of cleaned UTF-8) and the ratio."""
    ours, theirs = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="prospero-benchmark-") as folder:
            seconds, prepared = preparation_seconds(source, vocab_size, Path(folder))
            kept = prepared.receipt["bytes"]["kept"] / MEGABYTE
            ours.append(kept / seconds)
            if bare:
                theirs.append(kept / bare_seconds(prepared))
    speed = statistics.median(ours)
    print(f"text: {kept:.1f} MB kept, vocabulary {prepared.tokenizer.vocab_size}, {repeats} turns")
    print(f"preparation (clean, dedup, split, encode, write): {speed:6.2f} MB/s   {prepared.receipt['seconds']}")
    if bare:
        print(f"bare encode_batch:                                {statistics.median(theirs):6.2f} MB/s")
        print(f"ratio (wanted: at least 0.5):                     {speed / statistics.median(theirs):6.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of the process: {peak / (2**20 if sys.platform != 'darwin' else 2**30) * 1024:.0f} MiB")
    return 0


def preparation_seconds(source: SourceSettings, vocab_size: int, folder: Path) -> tuple[float, PreparedData]:
    """Prepare `source` from nothing; the seconds are those of all stages but the training of the tokenizer."""
    settings = PrepareConfig(
        data=source,
        cleaning={
            "unicode": UnicodeConfig(),
            "control_characters": ControlCharactersConfig(),
            "white_space": WhiteSpaceConfig(),
        },
        dedup=ExactDedupConfig(),
        split=AutoSplitConfig(),
        tokenizer=BPETokenizerConfig(vocab_size=vocab_size),
        outputs_dir=str(folder),
    )
    started = time.perf_counter()
    prepared = prepare(settings, progress=False)
    total = time.perf_counter() - started
    return total - prepared.receipt["seconds"]["train tokenizer"], prepared


def bare_seconds(prepared: PreparedData) -> float:
    """Return the seconds of one bare `encode_batch` over the documents of all splits."""
    texts = []
    for shards in prepared.splits.values():
        start = 1
        for end in shards.document_ends.tolist():
            texts.append(prepared.tokenizer.decode(shards.tokens(start, end)))
            start = end
    started = time.perf_counter()
    for first in range(0, len(texts), DOCUMENTS_AT_ONCE):
        prepared.tokenizer.inner.encode_batch(texts[first : first + DOCUMENTS_AT_ONCE])
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
