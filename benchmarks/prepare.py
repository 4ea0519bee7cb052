"""Speed of the whole preparation beside bare encoders on the same text with the same tokenizer.

    python benchmarks/prepare.py                         # the text that comes with Python
    python benchmarks/prepare.py --path corpus/ --vocab-size 8192

Preparation: read, clean, de-duplicate, split, encode, write, hash, receipt; training the tokenizer is not counted.
Bare encoders, the cleaned documents in memory, the ids thrown away: `tokenizers.Tokenizer.encode_batch_fast`, the
platform's `Tokenizer.encode_batch` (its comparison with the former included), and tiktoken's core where it is
installed. All take turns, so that a busy machine slows each alike; medians of speeds and of each turn's ratio count.
"""

import argparse
import importlib.util
import json
import pickle
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tokenizers

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
from prospero.data.tokenizer.tokenizer import byte_alphabet
from prospero.errors import ProsperoError

MEGABYTE = 1e6
PIECES_AT_ONCE = 128
"""For the bare encoders: all at once would be slower, for memory would grow to many times the text."""
PREPARATION, LIBRARY = "preparation (clean, dedup, split, encode, write)", "encode_batch_fast of tokenizers"


def main() -> int:
    """Measure and print all speeds and their ratios."""
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
    """Take turns, then print megabytes per second (of cleaned UTF-8) and the ratios."""
    speeds: dict[str, list[float]] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="prospero-benchmark-") as folder:
            seconds, prepared = preparation_seconds(source, vocab_size, Path(folder))
            kept = prepared.receipt["bytes"]["kept"] / MEGABYTE
            taken = {PREPARATION: seconds} | (bare_seconds(prepared) if bare else {})
            for name, each in taken.items():
                speeds.setdefault(name, []).append(kept / each)
    print(f"text: {kept:.1f} MB kept, vocabulary {prepared.tokenizer.vocab_size}, {repeats} turns")
    print(f"stages of the last preparation: {prepared.receipt['seconds']}")
    for name, each in speeds.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(each, speeds.get(LIBRARY, each)))
        beside = f"   {ratio:6.2f} x {LIBRARY}" if bare else ""
        print(f"{name:52} {statistics.median(each):7.2f} MB/s{beside}")
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


def bare_seconds(prepared: PreparedData) -> dict[str, float]:
    """Return encoder -> seconds over the documents of all splits; all give the same ids, as is checked."""
    texts = []
    for shards in prepared.splits.values():
        start = 1
        for end in shards.document_ends.tolist():
            texts.extend(prepared.tokenizer.pieces(prepared.tokenizer.decode(shards.tokens(start, end))))
            start = end
    batches = [texts[first : first + PIECES_AT_ONCE] for first in range(0, len(texts), PIECES_AT_ONCE)]
    inner = prepared.tokenizer.inner
    right = [encoding.ids for encoding in inner.encode_batch_fast(batches[0], add_special_tokens=False)]
    encoders: dict[str, Callable[[list[str]], Sequence[Any]]] = {
        LIBRARY: lambda batch: inner.encode_batch_fast(batch, add_special_tokens=False),
        "encode_batch of the platform": pickle.loads(pickle.dumps(prepared.tokenizer)).encode_batch,
    }
    if importlib.util.find_spec("tiktoken"):
        encoders["tiktoken's core, two threads"] = tiktoken_encoder(inner)
    taken = {}
    for name, encode in encoders.items():
        if name != LIBRARY and [list(ids) for ids in encode(batches[0])] != right:
            raise SystemExit(f"{name} gives other ids than {LIBRARY}")
        started = time.perf_counter()
        for batch in batches:
            encode(batch)
        taken[name] = time.perf_counter() - started
    return taken


def tiktoken_encoder(inner: tokenizers.Tokenizer) -> Callable[[list[str]], Sequence[Any]]:
    """Return tiktoken's core with the merges of `inner`, whose ids must be in their order."""
    import tiktoken  # pyright: ignore[reportMissingImports] - of no extra, this comparison alone asks for it

    description = json.loads(inner.to_str())
    byte_of, special = byte_alphabet(), {token["content"] for token in description["added_tokens"]}
    vocabulary = description["model"]["vocab"]
    ranks = {bytes(byte_of[sign] for sign in token): id_ for token, id_ in vocabulary.items() if token not in special}
    pattern = description["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    encoding = tiktoken.Encoding("benchmark", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    pool = ThreadPoolExecutor(2)
    return lambda batch: list(pool.map(encoding.encode_to_numpy, batch))


if __name__ == "__main__":
    sys.exit(main())
