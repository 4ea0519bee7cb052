"""A bit flipped anywhere in prepared data is found, said in one line, and nothing is deleted for it."""

import random
from pathlib import Path

import pytest

from prospero.data.prepare import open_prepared, prepare
from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.errors import DataError
from tests.data.shard_making import sentences, settings, write_corpus

FILES = {"train.bin", "val.bin", "test.bin", "receipt.json", "tokenizer.json", "tokenizer_config.json"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def flipped(written: bytes, randomness: random.Random) -> bytes:
    content = bytearray(written)
    content[randomness.randrange(len(content))] ^= 1 << randomness.randrange(8)
    return bytes(content)


@pytest.mark.heavy
@pytest.mark.parametrize("tokenizer", [CharTokenizerConfig(), BPETokenizerConfig(vocab_size=300)], ids=["char", "bpe"])
def test_flipped_bits_are_never_silent(tmp_path, tokenizer, long_form):
    prepared = prepare(settings(write_corpus(tmp_path, sentences(100)), tmp_path, tokenizer=tokenizer))
    files = contents(prepared.directory)
    assert set(files) == FILES
    randomness = random.Random(0)
    for _ in range(2000 if long_form else 75):
        name = randomness.choice(sorted(FILES))
        damaged = flipped(files[name], randomness)
        path = prepared.directory / name
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=name) as caught:
            open_prepared(prepared.directory).verify()
        assert "\n" not in str(caught.value)
        assert contents(prepared.directory) == files | {name: damaged}
        path.write_bytes(files[name])
    open_prepared(prepared.directory).verify()


@pytest.mark.parametrize("name", sorted(FILES))
def test_damaged_data_are_made_anew_and_kept(tmp_path, name, caplog):
    chosen = settings(write_corpus(tmp_path, sentences(100)), tmp_path)
    prepared = prepare(chosen)
    files = contents(prepared.directory)
    for number, word in ((1, "damaged"), (2, "damaged-2")):
        damaged = flipped(files[name], random.Random(number))
        (prepared.directory / name).write_bytes(damaged)
        caplog.clear()
        prepare(chosen).verify()
        aside = prepared.directory.with_name(f"{prepared.directory.name}.{word}")
        assert contents(aside) == files | {name: damaged}
        assert name in caplog.text and f"the damaged data are kept as {aside}" in caplog.text
        files = contents(prepared.directory)  # the receipt has another time
