"""`prepare`: clean, de-duplicate, split and tokenise text into memory-mapped shards with a receipt."""

from pathlib import Path
from typing import TYPE_CHECKING

from prospero.data.settings import PrepareConfig

if TYPE_CHECKING:
    from prospero.data.prepare import PreparedData


def prepare(config: PrepareConfig) -> int:
    """Prepare the data and print the receipt in short; the files lie in the cache folder."""
    from prospero import log
    from prospero.data.describe import describe

    log.configure()
    prepared = prepare_data(config)
    for line in describe(prepared):
        print(line)
    return 0


def prepare_data(config: PrepareConfig) -> "PreparedData":
    """Return the prepared data of a configuration, made now unless they lie ready."""
    from prospero.data.prepare import PrepareSettings
    from prospero.data.prepare import prepare as prepare_now

    settings = PrepareSettings(
        source=config.data,
        cleaning=config.cleaning,
        dedup=config.dedup,
        split=config.split,
        tokenizer=config.tokenizer,
        cache_dir=Path(config.outputs_dir, "data"),
        buffer_mb=config.buffer_mb,
    )
    return prepare_now(settings)
