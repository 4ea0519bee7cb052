"""`prepare`: clean, de-duplicate, split and tokenise text into memory-mapped shards with a receipt."""

from prospero.data.settings import PrepareConfig


def prepare(config: PrepareConfig) -> int:
    """Prepare the data and print the receipt in short; the files lie in the cache folder."""
    from prospero import log
    from prospero.data.describe import describe
    from prospero.data.prepare import prepare as prepare_now

    log.configure()
    for line in describe(prepare_now(config)):
        print(line)
    return 0
