"""`prepare`: clean, de-duplicate, split and tokenise text into memory-mapped shards with a receipt."""

from prospero.data.settings import PrepareConfig

EXAMPLES = [
    ("python prepare.py", "the embedded default"),
    ("python prepare.py data=files data.path='texts/*.md' cleaning=prose tokenizer.vocab_size=4096", "a glob of files"),
    (
        "python prepare.py data=hub data.dataset=roneneldan/TinyStories",
        "a Hugging Face data set (pip install 'prospero[hub]')",
    ),
]


def prepare(config: PrepareConfig) -> int:
    """Prepare the data and print the receipt in short; the files lie in the cache folder."""
    from prospero import log
    from prospero.data.describe import describe
    from prospero.data.mixture.preparation import prepare as prepare_now

    log.configure()
    for line in describe(prepare_now(config)):
        print(line)
    return 0
