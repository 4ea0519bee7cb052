"""Preparation on real files: what comes out, what is found again, and what a kill or damage leaves behind."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prospero.data import prepare as prepare_module
from prospero.data.cleaning.control_characters import ControlCharactersConfig
from prospero.data.cleaning.length import LengthConfig
from prospero.data.cleaning.unicode import UnicodeConfig
from prospero.data.cleaning.white_space import WhiteSpaceConfig
from prospero.data.describe import describe
from prospero.data.encoding import SplitEncoder
from prospero.data.prepare import PreparedData, open_prepared, prepare, source_name
from prospero.data.sources.files import FilesConfig
from prospero.data.split import HashSplitConfig, TailSplitConfig
from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.training.settings import TrainConfig
from tests.data.shard_making import sentences, settings, write_corpus

TOKENIZERS = [ByteTokenizerConfig(), CharTokenizerConfig(), BPETokenizerConfig(vocab_size=300)]


def documents_of(prepared: PreparedData, split: str) -> list[str]:
    shards, texts, start = prepared.splits[split], [], 1
    for end in shards.document_ends.tolist():
        texts.append(prepared.tokenizer.decode(shards.tokens(start, end)))
        start = end
    return texts


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".preparing-*")]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["byte", "char", "bpe"])
def test_every_document_comes_out_once_in_its_split(tmp_path, tokenizer):
    texts = sentences(300)
    path = write_corpus(tmp_path, texts)
    prepared = prepare(settings(path, tmp_path, tokenizer=tokenizer), progress=False)
    found = {split: documents_of(prepared, split) for split in prepared.splits}
    assert sorted(text for texts in found.values() for text in texts) == sorted(texts)
    rule = HashSplitConfig(val_fraction=0.2, test_fraction=0.1).build()
    for split, members in found.items():
        assert {next(iter(rule.pieces(text, 0, None))).split for text in members} == {split}
    prepared.verify()
    assert hidden(tmp_path / "data") == []


def test_the_receipt_adds_up(tmp_path):
    texts = [*sentences(200), *sentences(10), "short"]
    path = write_corpus(tmp_path, texts)
    cleaning = {"length": LengthConfig(min_characters=20)}
    prepared = prepare(settings(path, tmp_path, cleaning=cleaning, tokenizer=CharTokenizerConfig()))
    receipt = prepared.receipt
    assert receipt["documents"] == {"read": 211, "kept": 200, "dropped": 1, "duplicate": 10}
    assert receipt["bytes"]["kept"] == sum(len(text.encode()) for text in texts[:200])
    assert receipt["characters"] == sum(map(len, texts[:200]))
    assert receipt["dropped"][0]["step"] == "length" and receipt["dropped"][0]["examples"][0]["text"] == "short"
    assert len(receipt["duplicate_examples"]) == 3
    for name, total in (("documents", 200), ("bytes", receipt["bytes"]["kept"]), ("characters", receipt["characters"])):
        assert sum(row[name] for row in receipt["splits"].values()) == total
    for split, row in receipt["splits"].items():
        assert row["tokens"] == prepared.splits[split].n_tokens == 1 + row["characters"] + row["documents"]
    assert receipt["tokenizer"]["fingerprint"] == prepared.tokenizer.fingerprint()
    assert 0 < receipt["bigram_bits_per_byte"] < 8
    assert json.loads(json.dumps(receipt)) == receipt


def test_characters_unknown_to_the_training_split_are_counted_and_said(tmp_path, caplog):
    path = tmp_path / "one.txt"
    path.write_text("ab" * 450 + "日本" * 50, encoding="utf-8")
    with caplog.at_level("INFO", "prospero"):
        prepared = prepare(settings(path, tmp_path, split=TailSplitConfig(), tokenizer=CharTokenizerConfig()))
    splits = prepared.receipt["splits"]
    assert {name: (row["unknown_tokens"], row["unknown_bytes"]) for name, row in splits.items()} == {
        "train": (0, 0),
        "val": (100, 300),
    }
    said = "100 of val (98.04 %)"  # a separator on each side
    assert f"Unknown to the tokenizer (<unk>): {said}" in caplog.text
    assert [record.levelname for record in caplog.records if said in record.getMessage()] == ["WARNING"]
    assert f"unknown       {said}: <unk> to the tokenizer" in describe(prepared)
    caplog.clear()
    with caplog.at_level("INFO", "prospero"):
        prepare(settings(path, tmp_path, split=TailSplitConfig(), tokenizer=CharTokenizerConfig()))
    assert said in caplog.text  # found in the cache, and said all the same


def test_few_unknown_characters_are_said_without_a_warning(tmp_path, caplog):
    path = tmp_path / "one.txt"
    path.write_text("ab" * 950 + "日" + "ab" * 49 + "a", encoding="utf-8")
    with caplog.at_level("INFO", "prospero"):
        prepared = prepare(settings(path, tmp_path, split=TailSplitConfig(), tokenizer=CharTokenizerConfig()))
    assert prepared.receipt["splits"]["val"]["unknown_tokens"] == 1
    assert [record.levelname for record in caplog.records if "<unk>" in record.getMessage()] == ["INFO"]


def test_a_path_that_is_not_utf8_is_prepared_and_described(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    path = write_corpus(folder, sentences(100))
    prepared = prepare(settings(path, tmp_path))
    assert open_prepared(prepared.directory).receipt["settings"]["source"]["path"] == str(path)
    "\n".join(describe(prepared)).encode()  # can be printed
    assert r"caf\udce9/corpus.jsonl" in describe(prepared)[0]


def test_names_from_the_data_do_not_steer_the_terminal(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    path = write_corpus(folder, sentences(100))
    path = path.rename(folder / "a\nerror: forged \x1b]0;title\x07.jsonl")
    (folder / "b.x\x1b[31m").touch()
    lines = describe(prepare(settings(folder, tmp_path)))
    assert not any(character in line for line in lines for character in "\n\x1b\x07")
    assert any(r"ending .x\x1b[31m" in line for line in lines)


def test_tail_gives_the_last_characters_of_one_long_document(tmp_path):
    text = "".join(f"line {i} of the play and é\n" for i in range(500)) + "end"
    path = tmp_path / "play.txt"
    path.write_text(text, encoding="utf-8")
    prepared = prepare(settings(path, tmp_path, split=TailSplitConfig(), tokenizer=CharTokenizerConfig()))
    n = int(0.9 * len(text))
    assert documents_of(prepared, "train") == [text[:n]]
    assert documents_of(prepared, "val") == [text[n:]]
    assert set(prepared.splits) == {"train", "val"}
    assert prepared.splits["train"].all_tokens[-1] != prepared.tokenizer.eot_id  # the document is not over
    assert prepared.splits["val"].all_tokens[-1] == prepared.tokenizer.eot_id


def test_small_buffers_change_nothing(tmp_path, monkeypatch):
    path = write_corpus(tmp_path, [*sentences(100), "a long line\n" * 20_000])
    first = prepare(settings(path, tmp_path / "a"))
    monkeypatch.setattr("prospero.data.encoding.BUFFER_PER_BATCH", 10**6)
    second = prepare(settings(path, tmp_path / "b", buffer_mb=1))
    rows = [{split: row["digest"] for split, row in made.receipt["splits"].items()} for made in (first, second)]
    assert rows[0] == rows[1]
    assert first.fingerprint == second.fingerprint


def test_the_second_time_it_is_found(tmp_path, monkeypatch):
    chosen = settings(write_corpus(tmp_path, sentences(100)), tmp_path)
    first = prepare(chosen)
    monkeypatch.setattr(prepare_module, "publish", lambda *_: pytest.fail("prepared again"))
    started = time.perf_counter()
    second = prepare(chosen)
    assert time.perf_counter() - started < 1
    assert second.directory == first.directory and second.receipt == first.receipt


def test_other_settings_or_other_text_are_prepared_anew(tmp_path):
    path = write_corpus(tmp_path, sentences(100))
    first = prepare(settings(path, tmp_path))
    other = prepare(settings(path, tmp_path, tokenizer=CharTokenizerConfig()))
    write_corpus(tmp_path, sentences(101))
    more = prepare(settings(path, tmp_path))
    assert len({first.directory, other.directory, more.directory}) == 3
    assert len({first.fingerprint, other.fingerprint, more.fingerprint}) == 3


def test_the_fingerprint_is_of_the_text_and_not_of_its_place(tmp_path):
    first = prepare(settings(write_corpus(tmp_path / "a", sentences(100)), tmp_path))
    second = prepare(settings(write_corpus(tmp_path / "b", sentences(100)), tmp_path))
    assert first.directory != second.directory and first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    "damage", ["token file cut", "receipt cut", "receipt of another format", "tokenizer", "no file"]
)
def test_damaged_data_are_made_anew(tmp_path, damage):
    chosen = settings(write_corpus(tmp_path, sentences(100)), tmp_path)
    first = prepare(chosen)
    digests = {split: row["digest"] for split, row in first.receipt["splits"].items()}
    receipt = first.directory / "receipt.json"
    if damage == "token file cut":
        os.truncate(first.directory / "train.bin", 1000)
    elif damage == "receipt cut":
        os.truncate(receipt, 300)
    elif damage == "receipt of another format":
        receipt.write_text(json.dumps(first.receipt | {"format": 0}))
    elif damage == "tokenizer":
        CharTokenizerConfig().build(lambda: iter(["abc"])).save(first.directory / "tokenizer.json")
    else:
        (first.directory / "val.bin").unlink()
    with pytest.raises(DataError):
        open_prepared(first.directory)
    again = prepare(chosen)
    again.verify()
    assert {split: row["digest"] for split, row in again.receipt["splits"].items()} == digests


def test_one_flipped_bit_is_found_whenever_prepared_data_are_used(tmp_path):
    chosen = settings(write_corpus(tmp_path, sentences(100)), tmp_path)
    prepared = prepare(chosen)
    for file in ("train.bin", "val.bin"):
        path = prepared.directory / file
        written = path.read_bytes()
        for byte, bit in ((0, 0), (40, 3), (len(written) // 2, 2), (len(written) - 1, 7)):
            content = bytearray(written)
            content[byte] ^= 1 << bit
            path.write_bytes(content)
            with pytest.raises(DataError, match=rf"{file} "):
                open_prepared(prepared.directory).verify()
            path.write_bytes(written)
        content = bytearray(written)
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        prepare(chosen)  # says what is wrong and makes them anew
        assert path.read_bytes() == written


KILLED = """
import sys, time
from pathlib import Path
from tests.data.shard_making import settings
from prospero.data import prepare as module
from prospero.data.encoding import SplitEncoder

close = SplitEncoder.close
def slow_close(self):
    close(self)
    print("tokens written", flush=True)
    time.sleep(60)
SplitEncoder.close = slow_close
module.prepare(settings(Path(sys.argv[1]), Path(sys.argv[2]).parent))
"""


@pytest.mark.processes
def test_a_kill_leaves_nothing_half_used(tmp_path):
    path, cache = write_corpus(tmp_path, sentences(200)), tmp_path / "data"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, str(path), str(cache)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"tokens written\n"
        assert len(hidden(cache)) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not list(cache.glob("files-*")) and len(hidden(cache)) == 1
    prepared = prepare(settings(path, cache.parent))
    prepared.verify()
    assert hidden(cache) == []


TOGETHER = """
import sys
from pathlib import Path
from tests.data.shard_making import settings
from prospero.data.prepare import prepare
prepared = prepare(settings(Path(sys.argv[1]), Path(sys.argv[2]).parent), progress=False)
prepared.verify()
print(prepared.directory, prepared.receipt["created"], prepared.receipt["seconds"])
"""


@pytest.mark.processes
def test_two_processes_at_once_get_the_same_data(tmp_path):
    path, cache = write_corpus(tmp_path, sentences(2000)), tmp_path / "data"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", TOGETHER, str(path), str(cache)]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, env=environment) for _ in range(2)]
    outputs = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert outputs[0] == outputs[1]
    assert hidden(cache) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    chosen = settings(write_corpus(tmp_path, sentences(100)), tmp_path)

    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(SplitEncoder, "close", full)
        with pytest.raises(DataError, match="full") as caught:
            prepare(chosen)
    assert "\n" not in str(caught.value)
    assert hidden(tmp_path / "data") == [] and not list((tmp_path / "data").glob("files-*"))
    prepare(chosen).verify()


def test_a_real_full_disk(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    cache = tmp_path / "data"
    chosen = settings(write_corpus(tmp_path, sentences(100)), cache.parent)
    original = prepare_module.SplitEncoder._writer

    def on_a_full_disk(self, split):
        writer = original(self, split)
        if writer.path.exists() and not writer.path.is_symlink():
            writer._file.close()
            writer.path.unlink()
            writer.path.symlink_to("/dev/full")
            writer._file = open(writer.path, "wb")  # noqa: SIM115
        return writer

    prepare_module.SplitEncoder._writer = on_a_full_disk
    try:
        with pytest.raises(DataError, match="full"):
            prepare(chosen)
    finally:
        prepare_module.SplitEncoder._writer = original
    assert hidden(cache) == []


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere")
def test_a_read_only_folder_is_one_line(tmp_path):
    cache = tmp_path / "data"
    cache.mkdir(mode=0o555)
    with pytest.raises(DataError, match="nothing can be written"):
        prepare(settings(write_corpus(tmp_path, sentences(100)), cache.parent))


def test_a_file_where_the_cache_should_be_is_one_line(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match="cache"):
        prepare(settings(write_corpus(tmp_path, sentences(100)), tmp_path))


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["byte", "char", "bpe"])
def test_a_split_that_gets_nothing_says_what_helps(tmp_path, tokenizer):
    path = tmp_path / "one.txt"
    path.write_text("one document that is not cut, and goes to one split as a whole\n" * 20)
    with pytest.raises(DataError, match="split=tail"):
        prepare(settings(path, tmp_path, tokenizer=tokenizer))


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["byte", "char", "bpe"])
def test_when_cleaning_leaves_nothing_the_reasons_are_told(tmp_path, tokenizer):
    path = write_corpus(tmp_path, sentences(20))
    cleaning = {"length": LengthConfig(min_characters=10**6)}
    with pytest.raises(DataError, match="nothing of the 20 documents: 20 by length"):
        prepare(settings(path, tmp_path, cleaning=cleaning, tokenizer=tokenizer))


FIXTURE_TEXT = "".join(f"The {n}th line says that {n} plus {n} is {2 * n}.\n" for n in range(600))


def test_names_and_fingerprints_stay(tmp_path, monkeypatch):
    """The fingerprint is that of the run in tests/fixtures/run_before_the_move; the name changes with FORMAT."""
    path = tmp_path / "text.txt"
    path.write_text(FIXTURE_TEXT)
    os.utime(path, (1700000000, 1700000000))  # the name holds the time of change
    cleaning = {
        "unicode": UnicodeConfig(),
        "control_characters": ControlCharactersConfig(),
        "white_space": WhiteSpaceConfig(),
    }
    for workers in (0, 3):
        config = settings(
            path,
            tmp_path / str(workers),
            data=FilesConfig(path="text.txt", num_workers=workers),
            cleaning=cleaning,
            split=TailSplitConfig(),
        )
        monkeypatch.chdir(tmp_path)
        prepared = prepare(config)
        assert prepared.fingerprint == "1f5eaa8cd3052d73269ccc5334781358"
        assert prepared.directory.name == "files-206a894c467c48b3"
        assert "num_workers" not in prepared.receipt["settings"]["source"]


def sources_of(prepared: PreparedData, split: str) -> list[tuple[str, str]]:
    """Return each document of a split with the name of its source, sorted."""
    numbers = prepared.splits[split].document_sources.tolist()
    return sorted(zip(documents_of(prepared, split), [prepared.receipt["sources"][number] for number in numbers]))


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["byte", "char", "bpe"])
def test_documents_keep_the_file_they_come_from(tmp_path, tokenizer):
    folder = tmp_path / "texts"
    few, many = sentences(20), sentences(200, seed=1)
    write_corpus(folder / "b", many)
    write_corpus(folder, few)
    prepared = prepare(settings(folder, tmp_path, tokenizer=tokenizer), progress=False)
    assert prepared.receipt["sources"] == ["b/corpus.jsonl", "corpus.jsonl"]
    found = [pair for split in prepared.splits for pair in sources_of(prepared, split)]
    known = dict.fromkeys(many, "b/corpus.jsonl") | dict.fromkeys(few, "corpus.jsonl")
    assert len(set(many) & set(few)) == 0 and sorted(found) == sorted(known.items())


def test_a_document_that_is_cut_keeps_its_source(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("a" * 800)
    (folder / "b.txt").write_text("b" * 200)
    prepared = prepare(settings(folder, tmp_path, split=TailSplitConfig()), progress=False)
    assert sources_of(prepared, "train") == [("a" * 800, "a.txt"), ("b" * 100, "b.txt")]
    assert sources_of(prepared, "val") == [("b" * 100, "b.txt")]


def test_settings():
    assert source_name(FilesConfig(path="x")) == "files"
    with pytest.raises(ConfigError, match="buffer_mb"):
        settings(Path("x"), Path("y"), buffer_mb=0)
    with pytest.raises(ConfigError, match="buffer_mb"):
        TrainConfig(buffer_mb=0)
    with pytest.raises(ConfigError, match="max_steps=0"):
        TrainConfig(max_steps=0)
