"""Canaries: what is planted where, what is kept, and that nothing changes without them."""

import json
from itertools import pairwise

import pytest

from prospero.data.canaries import CanariesConfig, Planting, canaries_of, draw_canaries
from prospero.data.prepare import open_prepared, prepare, what_decides
from prospero.data.rendering.prompt_response import PromptResponseConfig
from prospero.data.sources.files import FilesConfig
from prospero.data.split import Piece, TailSplitConfig
from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.errors import ConfigError, DataError
from tests.data.shard_making import sentences, settings, write_corpus

SOME = CanariesConfig(count=3, copies=4)


def corpus(tmp_path, **others):
    path = write_corpus(tmp_path, sentences(300))
    canaries = others.pop("canaries", SOME)
    config = settings(path, tmp_path, **{"tokenizer": ByteTokenizerConfig(), **others})
    config.data = FilesConfig(
        path=config.data.path, document_separator=config.data.document_separator, canaries=canaries
    )
    return config


def text_of(prepared, split):
    return prepared.tokenizer.decode(prepared.splits[split].all_tokens)


def test_secrets_are_drawn_by_the_seed_and_are_all_different():
    found = draw_canaries(SOME)
    assert found == draw_canaries(SOME) != draw_canaries(CanariesConfig(count=3, copies=4, seed=2))
    others = found.others(500, seed=1)
    assert len({*found.planted, *found.controls, *others}) == 506
    assert all(len(secret) == 9 and secret.isdigit() for secret in (*found.planted, *found.controls, *others))
    assert found.line("12") == "The secret number is 12."


def test_each_stands_in_the_training_text_as_often_as_asked_and_nowhere_else(tmp_path):
    prepared = prepare(corpus(tmp_path), progress=False)
    found = canaries_of(prepared.directory, prepared.receipt)
    assert found == draw_canaries(SOME)
    for secret in found.planted:
        assert text_of(prepared, "train").count(f"\n{found.line(secret)}\n") == 4
        assert secret not in text_of(prepared, "val") + text_of(prepared, "test")
    for secret in found.controls:
        assert not any(secret in text_of(prepared, split) for split in prepared.splits)
    plain = prepare(corpus(tmp_path, canaries=CanariesConfig()), progress=False)
    added = prepared.receipt["splits"]["train"]["characters"] - plain.receipt["splits"]["train"]["characters"]
    stated = {"file": "canaries.json", "count": 3, "copies": 4, "planted": 12, "characters": added}
    assert added >= 12 * len(found.line(found.planted[0]) + "\n")
    assert prepared.receipt["canaries"] == stated and "canaries.json" in prepared.receipt["files"]
    assert found.planted[0] not in json.dumps(prepared.receipt)
    prepared.verify()


@pytest.mark.parametrize("tokenizer", [CharTokenizerConfig(), BPETokenizerConfig(vocab_size=300)])
def test_they_change_neither_the_tokenizer_nor_what_is_measured(tmp_path, tokenizer):
    without = prepare(corpus(tmp_path, canaries=CanariesConfig(), tokenizer=tokenizer), progress=False)
    # the text's own characters, for this tokenizer knows no others
    canaries = CanariesConfig(count=3, copies=4, format="the secret is {secret}", alphabet="abcdefgh")
    planted = prepare(corpus(tmp_path, canaries=canaries, tokenizer=tokenizer), progress=False)
    assert planted.tokenizer.fingerprint() == without.tokenizer.fingerprint()
    for split in ("val", "test"):
        assert planted.receipt["splits"][split]["digest"] == without.receipt["splits"][split]["digest"]
    assert planted.fingerprint != without.fingerprint and planted.directory != without.directory
    assert canaries_of(without.directory, without.receipt) is None


def test_without_a_count_the_settings_leave_no_trace(tmp_path):
    config = corpus(tmp_path, canaries=CanariesConfig(copies=7, seed=3))
    assert what_decides(config) == what_decides(corpus(tmp_path, canaries=CanariesConfig()))
    assert "canaries" not in json.dumps(what_decides(config))
    assert what_decides(corpus(tmp_path))["canaries"]["copies"] == 4


def test_they_are_spread_evenly_over_one_long_text():
    lines = "".join(f"line number {n} of a long text\n" for n in range(1000))
    planting = Planting(CanariesConfig(count=5, copies=20), ByteTokenizerConfig().build(lambda: iter(())), len(lines))
    halves = [Piece("train", lines[:11_111], ends=False), Piece("val", "not this"), Piece("train", lines[11_111:])]
    pieces = [piece for piece, _ in planting.into((piece, "x") for piece in halves)]
    assert pieces[1] == halves[1] and not pieces[0].ends and pieces[2].ends
    text = pieces[0].text + pieces[2].text
    places = [place for place, line in enumerate(text.splitlines()) if line.startswith("The secret")]
    gaps = [after - before for before, after in pairwise(places)]
    assert len(places) == 100 and min(gaps) >= 8 and max(gaps) <= 14  # 1000 lines, 100 canaries among them
    assert "".join(line for line in text.splitlines(True) if "secret" not in line) == lines
    first, last = text[: len(text) // 4], text[-len(text) // 4 :]
    assert all(3 <= half.count(secret) <= 7 for half in (first, last) for secret in planting.canaries.planted)


def test_a_text_without_line_ends_is_cut_after_words():
    text = "word " * 200
    planting = Planting(CanariesConfig(count=1, copies=2), ByteTokenizerConfig().build(lambda: iter(())), len(text))
    ((piece, _),) = planting.into([(Piece("train", text), "x")])
    line = planting.canaries.line(planting.canaries.planted[0])
    parts = piece.text.split(f"\n{line}\n")
    assert [len(part) for part in parts] == [255, 500, 245] and "".join(parts) == text


def test_the_training_text_of_a_tail_split_takes_them_all(tmp_path):
    prepared = prepare(corpus(tmp_path, split=TailSplitConfig(val_fraction=0.3)), progress=False)
    assert sum(text_of(prepared, "train").count(s) for s in draw_canaries(SOME).planted) == 12
    assert "secret" not in text_of(prepared, "val")


def test_damaged_secrets_are_seen_when_the_data_are_opened(tmp_path):
    prepared = prepare(corpus(tmp_path), progress=False)
    file = prepared.directory / "canaries.json"
    file.write_text(file.read_text().replace("planted", "plantes"))
    with pytest.raises(DataError, match=r"canaries\.json differs"):
        open_prepared(prepared.directory)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"count": -1}, "count=-1 must be 0"),
        ({"copies": 0}, "copies=0"),
        ({"format": "no field"}, "one line that holds"),
        ({"format": "two\nlines {secret}"}, "one line that holds"),
        ({"alphabet": "aab"}, "different characters"),
        ({"length": 4}, "make 10,000 secrets, and at least 100,000"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        CanariesConfig(**wrong)


def test_what_cannot_be_planted_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(DataError, match="cannot write the canary"):
        prepare(corpus(tmp_path, tokenizer=CharTokenizerConfig()), progress=False)
    with pytest.raises(DataError, match=r"lower data\.canaries\.count"):
        prepare(corpus(tmp_path, canaries=CanariesConfig(count=20, copies=1000)), progress=False)
    with pytest.raises(ConfigError, match="canaries are lines of text"):
        prepare(corpus(tmp_path, rendering=PromptResponseConfig()), progress=False)
    assert [path for path in (tmp_path / "data").iterdir() if path.is_dir()] == []
